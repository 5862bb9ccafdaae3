"""`lightcnn.explain`: explains images by any network from Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn import document
from lightcnn.counting.passes import fixed_randomness, instabilities
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import DataError, InputError, LightcnnError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer, Explanation
from lightcnn.explaining.images.image import ExplainedImage, ImageReading, from_array, from_file
from lightcnn.explaining.methods.catalogue import DEFAULT_METHODS, MethodOptions, make_method
from lightcnn.explaining.settings import find_target, require_level
from lightcnn.exported_metadata import is_exported
from lightcnn.predictor import checked_images
from lightcnn.python_calls import python_call
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line
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


@dataclass(frozen=True, eq=False)
class _Subject:
    """An image (1, C, H, W) as the network reads it, the same for people, and its ground-truth mask (H, W)."""

    name: str
    inputs: Tensor
    seen: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None


@python_call
def explain(
    model: RunFolder | TrainedNetwork | nn.Module | str | Path,
    images: Iterable[Any],
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
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
        model: A run or its folder, a trained network, or any `torch.nn.Module`. A module is copied and left unchanged.
            If it returns (log) probabilities in place of logits, they are used as such, with a warning and a note.
        images: Paths, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3). For a module without `preprocess`: a float
            tensor (N, C, H, W) as the module reads it.
        methods: Names of methods: gradcam, gradcam++, layercam, ig, lime, occlusion.
        target: Name or index of the class to explain (default: the predicted class of each image).
        preprocess: Preprocessing of the images of a module.
        classes: Class names of a module without `preprocess` (default: the numbers from 0).
        checks: How thoroughly maps are checked: none, quick or full.
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
    values = {"layer": layer, "baseline": baseline, "smooth": smooth, "samples": samples, "segments": segments}
    options = document.make(MethodOptions, values | {"seed": seed}, "explain")
    chosen = [make_method(name, options) for name in methods]
    network, preprocessing = _network(model, images, preprocess, classes, batch, device)
    index = find_target(network.classes, target)
    explainer = Explainer(network, chosen, Checker(network, level=level, seed=seed))
    explanations: list[Explanation] = []
    notes: list[str] | None = None
    for subject in _subjects(network, preprocessing, images, masks):
        if notes is None:
            notes = _instabilities(network, subject.inputs)
        try:
            with fixed_randomness(seed):
                results, failures = explainer(
                    subject.name, subject.inputs, subject.seen, target=index, mask=subject.mask
                )
        except DataError as error:
            raise DataError(f"explain: {subject.name} {error}") from None
        if failures:
            raise failures[0].error
        explanations += results
    if network.note:
        warnings.warn(f"explain: {network.note}", stacklevel=2)
    return [_drawable(explanation, *(notes or []), network.note, network.batch.note) for explanation in explanations]


def _instabilities(network: ExplainedNetwork, inputs: Tensor) -> list[str]:
    """Why the outputs for an image (1, C, H, W) are not always the same; also as a warning of Python."""
    notes = instabilities(network.model, torch.cat([inputs, inputs.flip(-1) / 2]))
    for note in notes:
        warnings.warn(f"explain: {note}", UserWarning, stacklevel=3)
    return notes


def _drawable(explanation: Explanation, *notes: str) -> DrawableExplanation:
    """The same explanation, with those of the notes that are not empty."""
    drawable = DrawableExplanation(**{field.name: getattr(explanation, field.name) for field in fields(Explanation)})
    attribution = explanation.attribution
    return replace(drawable, attribution=replace(attribution, notes=(*attribution.notes, *filter(None, notes))))


def _network(
    model: Any,
    images: Any,
    preprocess: Preprocess | None,
    classes: Sequence[str] | None,
    batch: int | None,
    device: str,
) -> tuple[ExplainedNetwork, Preprocess | None]:
    """A copy of the network, and the preprocessing of its images; None if they are given as the network reads them."""
    if isinstance(model, str | Path) and is_exported(Path(model)):
        raise InputError(f"explain: {model}: exported files are explained by the command; give the run folder here")
    if isinstance(model, str | Path | RunFolder):
        model = TrainedNetwork.load(model, device=device)
    if isinstance(model, TrainedNetwork):
        return ExplainedNetwork.of(model.model, model.preprocess, batch=batch), model.preprocess
    if not isinstance(model, nn.Module):
        raise InputError(f"explain: model has type {type(model).__name__}; give a run folder or a torch.nn.Module")
    if preprocess is not None:
        network = ExplainedNetwork.of(model, preprocess, batch=batch)
        blank = torch.zeros(1, preprocess.channels, preprocess.size, preprocess.size)
        _require_class_count(network, blank, preprocess.classes)
        pixels = torch.linspace(0, 255, blank.numel()).view(blank.shape)
        return network.with_kind_of_outputs(network.inputs(pixels)), preprocess
    if not (isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point() and len(images)):
        raise InputError(
            "explain: images of a module without `preprocess` must be a float tensor (N, C, H, W); "
            "give `preprocess` for paths and uint8 arrays"
        )
    bare = ExplainedNetwork.bare(model, images.shape[1], (), batch=batch)
    classes = [str(number) for number in range(_class_count(bare, images[:1]))] if classes is None else classes
    _require_class_count(bare, images[:1], classes)
    return replace(bare.with_kind_of_outputs(images), classes=tuple(classes)), None


def _class_count(network: ExplainedNetwork, inputs: Tensor) -> int:
    """The number of classes that the network distinguishes; 2 for a sigmoid head.

    Raises: InputError if the network cannot read `inputs`.
    """
    try:
        with torch.inference_mode():
            return max(2, network.logits(inputs.to(network.device).float()).shape[1])
    except LightcnnError:
        raise
    except Exception as error:  # any network may raise anything
        raise InputError(
            f"explain: the network cannot read images of {tuple(inputs.shape[1:])}: {first_line(error)}"
        ) from None


def _require_class_count(network: ExplainedNetwork, inputs: Tensor, classes: Sequence[str]) -> None:
    """Raises: InputError if `classes` are not as many as the network distinguishes."""
    count = _class_count(network, inputs)
    if len(classes) != count:
        raise InputError(
            f"explain: {len(classes)} class names are given, but the network distinguishes {count} classes"
        )


def _subjects(network: ExplainedNetwork, preprocess: Preprocess | None, images: Any, masks: Any) -> Iterator[_Subject]:
    """The images, prepared one by one.

    Raises: InputError if there are not as many masks as images; DataError if an image or its mask cannot be used.
    """
    all_images = list(images if preprocess is None else checked_images(images, "explain"))
    all_masks = [None] * len(all_images) if masks is None else [_as_bool(mask) for mask in masks]
    if len(all_masks) != len(all_images):
        raise InputError(
            f"explain: {len(all_masks)} masks for {len(all_images)} images; give one mask per image, or None"
        )
    for number, (image, mask) in enumerate(zip(all_images, all_masks, strict=True)):
        name = str(image) if isinstance(image, Path) else f"images[{number}]"
        try:
            if preprocess is None:
                yield _tensor_subject(name, network, image, mask)
                continue
            prepared = _prepare(name, image, preprocess, mask)
        except DataError as error:
            raise DataError(f"explain: {name} {error}") from None
        yield _Subject(name, network.inputs_of(prepared.seen), prepared.seen, prepared.mask)


def _as_bool(mask: Any) -> NDArray[np.bool_] | None:
    """A mask as a bool array. Raises: InputError for another type, in which it is unclear what is inside."""
    if mask is None:
        return None
    array = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if array.dtype != np.bool_:
        raise InputError(f"explain: a mask has type {array.dtype}; give bool (H, W), for example mask > 0")
    return array


def _prepare(name: str, image: Path | NDArray[np.uint8], preprocess: Preprocess, mask: Any) -> ExplainedImage:
    """Raises: DataError."""
    reading = ImageReading.of(preprocess)
    if isinstance(image, Path):
        return from_file(image, reading, mask)
    return from_array(name, image, reading, mask)


def _tensor_subject(name: str, network: ExplainedNetwork, image: Tensor, mask: Any) -> _Subject:
    """An image (C, H, W) as the network reads it; people see its smallest value black and its largest white."""
    if mask is not None and mask.shape != image.shape[1:]:
        raise DataError(f"has {image.shape[2]}×{image.shape[1]} pixels, but its mask has the shape {mask.shape}")
    values = np.nan_to_num(image.detach().float().cpu().numpy())
    grey = values if len(values) in (1, 3) else values.mean(axis=0, keepdims=True)
    scaled = (grey - grey.min()) / max(float(np.ptp(grey)), 1e-12)
    seen = np.rint(255 * np.moveaxis(scaled, 0, 2)).astype(np.uint8)
    return _Subject(name, image[None].to(network.device).float(), seen, mask)
