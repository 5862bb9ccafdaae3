"""`lightcnn.explain`: explains images by any network from Python. torch is loaded for runs and modules only."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.errors import DataError, InputError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explanation import Explainer, Explanation
from lightcnn.explaining.methods.catalogue import MethodOptions, make_method
from lightcnn.explaining.settings import CheckLevel, find_target, require_level
from lightcnn.explaining.setup.opened_file import open_file
from lightcnn.explaining.setup.opened_model import Mask, OpenedModel, Subject
from lightcnn.exported_metadata import is_exported
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel
from lightcnn.predictor import checked_images
from lightcnn.python_calls import python_call

if TYPE_CHECKING:
    from torch import nn

    from lightcnn.data.preprocess import Preprocess
    from lightcnn.run_folder import RunFolder
    from lightcnn.trained_network import TrainedNetwork


@dataclass(frozen=True, eq=False)
class DrawableExplanation(Explanation):
    """An explanation that draws itself: as a figure, in notebooks, and as a table in the terminal."""

    def figure(self) -> Any:
        """A matplotlib figure of the image, the map and the overlay, with the results of the checks below."""
        from lightcnn.explaining.figures.panels import Canvas, panel

        return panel(Canvas(self.seen), [self])

    def _repr_html_(self) -> str:
        from lightcnn.output import html
        from lightcnn.output.charts.figures import png

        return html.figure(png(self.figure()), f"{self.attribution.method}: {self.target}")

    def __rich__(self) -> Any:
        from lightcnn.explaining.terminal import image_table

        return image_table([self.document()])


@python_call
def explain(
    model: RunFolder | TrainedNetwork | ExportedModel | ForeignModel | nn.Module | str | Path,
    images: Iterable[Any],
    *,
    methods: Sequence[str] | None = None,
    target: str | int | None = None,
    preprocess: Preprocess | None = None,
    classes: Sequence[str] | None = None,
    checks: str = "quick",
    masks: Sequence[NDArray[np.bool_] | None] | None = None,
    layer: str | None = None,
    baseline: str = "black",
    smooth: int = 0,
    samples: int = 1000,
    segments: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: str = "auto",
) -> list[DrawableExplanation]:
    """Explains images by every method and checks every map.

    Args:
        model: A run or its folder, a trained network, an ONNX file, or any `torch.nn.Module`. A module is copied and
            left unchanged. If it returns (log) probabilities in place of logits, they are used as such, with a warning
            and a note. A file that lightcnn did not write is opened by `open_predictor(file, labels=..., input=...)`.
        images: Paths, PIL images, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3). For a module without `preprocess`: a
            float tensor (N, C, H, W) as the module reads it.
        methods: Names of methods: gradcam, gradcam++, layercam, ig, lime, occlusion (default: gradcam, ig and lime; of
            an ONNX file lime and occlusion, which are all that it allows).
        target: Name or index of the class to explain (default: the predicted class of each image).
        preprocess: Preprocessing of the images of a module.
        classes: Class names of a module without `preprocess` (default: the numbers from 0).
        checks: How thoroughly maps are checked: none, quick or full. An ONNX file does not allow full.
        masks: One ground-truth mask per image, bool (H, W) at the size of the image, or None.
        layer: Layer for Grad-CAM and its variants (default: the deepest layer with a map of at least 7 × 7).
        baseline: Start of the path of Integrated Gradients: black, mean, blur or random.
        smooth: Number of noisy copies that Integrated Gradients is averaged over (SmoothGrad); 0 uses none.
        samples: Number of perturbed images that LIME fits its model on.
        segments: Number of superpixels of LIME (default: chosen by the size of the image).
        seed: Seed of LIME, noise and checks.
        batch: Maximum number of images that go through the network at once (default: 8 on a CPU, otherwise 64).
        device: Device for a run: auto, cpu, cuda or mps. A module is explained on its own device.

    Returns:
        One explanation per image and method, image by image in the given order. `attribution.map` is float32 (H, W) at
        the size of the network's input; values above 0 support the class, values below 0 oppose it.

    Raises:
        InputError: If an argument cannot be used, or a method cannot explain the network.
        DataError: If an image or its mask cannot be used.

    Example:
        >>> import lightcnn, torch
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> maps = lightcnn.explain(model, torch.rand(1, 3, 16, 16), methods=["gradcam", "ig"], checks="none")
    """
    level = require_level(checks)
    if isinstance(methods, str):
        raise InputError(f"explain: methods must be a list of names; put a single name into brackets: [{methods!r}]")
    if methods is not None and not len(methods):
        raise InputError("explain: methods names no method; name one or several, or leave it out")
    values = {"layer": layer, "baseline": baseline, "smooth": smooth, "samples": samples, "segments": segments}
    options = document.make(MethodOptions, values | {"seed": seed}, "explain")
    chosen = [make_method(name, options) for name in methods or ()]
    opened = _open(model, images, methods or (), options, level, preprocess, classes, batch, device)
    chosen = chosen or [make_method(name, options) for name in opened.default_methods]
    index = find_target(opened.network.classes, target)
    explainer = Explainer(opened.network, chosen, Checker(opened.network, level=level, seed=seed))
    explanations: list[Explanation] = []
    notes: list[str] | None = None
    for subject in _subjects(opened, images, masks):
        if notes is None:
            notes = _instabilities(opened, subject)
        try:
            with opened.fixed_randomness(seed):
                results, failures = explainer(
                    subject.name, subject.inputs, subject.seen, target=index, mask=subject.mask
                )
        except DataError as error:
            raise DataError(f"explain: {subject.name} {error}") from None
        if failures:
            raise failures[0].error
        explanations += results
    if opened.note:
        warnings.warn(f"explain: {opened.note}", stacklevel=2)
    return [_drawable(explanation, *(notes or []), opened.note, opened.batch_note) for explanation in explanations]


def _open(
    model: Any,
    images: Any,
    methods: Sequence[str],
    options: MethodOptions,
    level: CheckLevel,
    preprocess: Preprocess | None,
    classes: Sequence[str] | None,
    batch: int | None,
    device: str,
) -> OpenedModel:
    """Opens an exported file without torch, anything else with it. Raises: InputError."""
    if isinstance(model, str | Path) and is_exported(Path(model)):
        model = Path(model)
    elif not isinstance(model, ExportedModel | ForeignModel):
        from lightcnn.explaining.setup.opened_network import open_network

        return open_network(model, images, preprocess=preprocess, classes=classes, batch=batch, device=device)
    return open_file(model, methods=methods, layer=options.layer, level=level, batch=batch, device=device)


def _instabilities(opened: OpenedModel, subject: Subject) -> list[str]:
    """Why the outputs for an image are not always the same; also as a warning of Python."""
    notes = opened.instabilities(subject.inputs)
    for note in notes:
        warnings.warn(f"explain: {note}", UserWarning, stacklevel=3)
    return notes


def _drawable(explanation: Explanation, *notes: str) -> DrawableExplanation:
    """The same explanation, with those of the notes that are not empty."""
    drawable = DrawableExplanation(**{field.name: getattr(explanation, field.name) for field in fields(Explanation)})
    attribution = explanation.attribution
    return replace(drawable, attribution=replace(attribution, notes=(*attribution.notes, *filter(None, notes))))


def _subjects(opened: OpenedModel, images: Any, masks: Any) -> Iterator[Subject]:
    """The images, prepared one by one.

    Raises: InputError if there are not as many masks as images; DataError if an image or its mask cannot be used.
    """
    all_images = list(checked_images(images, "explain") if opened.takes_pixels else images)
    all_masks = [None] * len(all_images) if masks is None else [_as_bool(mask) for mask in masks]
    if len(all_masks) != len(all_images):
        raise InputError(
            f"explain: {len(all_masks)} masks for {len(all_images)} images; give one mask per image, or None"
        )
    for number, (image, mask) in enumerate(zip(all_images, all_masks, strict=True)):
        name = str(image) if isinstance(image, Path) else f"images[{number}]"
        try:
            subject = opened.subject(name, image, mask)
        except DataError as error:
            raise DataError(f"explain: {name} {error}") from None
        yield subject


def _as_bool(mask: Any) -> Mask | None:
    """A mask as a bool array. Raises: InputError for another type, in which it is unclear what is inside."""
    if mask is None:
        return None
    array = np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)  # a tensor may be on a device
    if array.dtype != np.bool_:
        raise InputError(f"explain: a mask has type {array.dtype}; give bool (H, W), for example mask > 0")
    return array
