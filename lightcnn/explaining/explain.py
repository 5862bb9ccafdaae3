"""`lightcnn.explain`: the maps of any network from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import DataError, InputError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer, Explanation, require_level, target_index
from lightcnn.explaining.images.image import Picture, from_array, from_file
from lightcnn.explaining.methods.catalogue import MethodOptions, method
from lightcnn.run_folder import RunFolder
from lightcnn.trained_network import TrainedNetwork, checked_images


@dataclass(frozen=True, eq=False)
class _Subject:
    """An image (1, C, H, W) as the network reads it, as people see it, and where the truth lies in it, (H, W)."""

    name: str
    inputs: Tensor
    seen: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None


def explain(
    model: RunFolder | TrainedNetwork | nn.Module | str | Path,
    images: Iterable[Any],
    *,
    methods: Sequence[str] = ("gradcam", "ig", "lime"),
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
) -> list[Explanation]:
    """Explains images by every method: image by image, in the order given.

    `model` is a run, or a module. The images of a run, and of a module with a `preprocess`, are paths or uint8 arrays
    (H, W), (H, W, 1) or (H, W, 3); those of a module alone float tensors (N, C, H, W) as it reads them. `target` is a
    class, by default each image's predicted one. `masks` are bool (H, W), one an image or None. `device` is that of a
    run; a module stays where it is, and as it is. Raises: InputError, DataError.
    """
    level = require_level(checks)
    if isinstance(methods, str):
        raise InputError(f"explain: methods must be a list of names; put a single one into brackets: [{methods!r}]")
    settings = MethodOptions(layer, baseline, smooth, samples, segments, seed)
    chosen = [method(name, settings) for name in methods]
    explained, rule = _explained(model, images, preprocess, classes, batch, device)
    asked = target_index(explained.classes, target)
    work = Explainer(explained, chosen, Checker(explained, level=level, seed=seed))
    found: list[Explanation] = []
    for subject in _subjects(explained, rule, images, masks):
        try:
            done, failed = work(subject.name, subject.inputs, subject.seen, target=asked, mask=subject.mask)
        except DataError as error:
            raise DataError(f"explain: {subject.name} {error}") from None
        if failed:
            raise failed[0].error
        found += done
    return [_noted(one, explained.batch.note) for one in found]


def _noted(one: Explanation, note: str) -> Explanation:
    """An explanation that says how far the memory sufficed, where it did not."""
    found = one.attribution
    return replace(one, attribution=replace(found, notes=(*found.notes, note))) if note else one


def _explained(
    model: Any, images: Any, rule: Preprocess | None, classes: Sequence[str] | None, batch: int | None, device: str
) -> tuple[ExplainedNetwork, Preprocess | None]:
    """The network's copy, and what prepares its images; None where they are given as it reads them."""
    if isinstance(model, str | Path | RunFolder):
        model = TrainedNetwork.load(model, device=device)
    if isinstance(model, TrainedNetwork):
        return ExplainedNetwork.of(model.model, model.preprocess, batch=batch), model.preprocess
    if not isinstance(model, nn.Module):
        raise InputError(f"explain: a {type(model).__name__} is no network; give a run folder or a torch.nn.Module")
    if rule is not None:
        explained = ExplainedNetwork.of(model, rule, batch=batch)
        _require_outputs(explained, torch.zeros(1, rule.channels, rule.size, rule.size), rule.classes)
        return explained, rule
    if not (isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point() and len(images)):
        raise InputError(
            "explain: images of a module alone must be a float tensor (N, C, H, W), as it reads them; "
            "give `preprocess` for paths and uint8 arrays"
        )
    bare = ExplainedNetwork.bare(model, images.shape[1], (), batch=batch)
    if classes is None:
        return replace(bare, classes=tuple(map(str, range(_outputs(bare, images[:1]))))), None
    _require_outputs(bare, images[:1], classes)
    return replace(bare, classes=tuple(classes)), None


def _outputs(explained: ExplainedNetwork, inputs: Tensor) -> int:
    """How many classes the network tells apart: two with a sigmoid head. Raises: InputError where it cannot read."""
    try:
        with torch.inference_mode():
            return max(2, explained.logits(inputs.to(explained.device).float()).shape[1])
    except RuntimeError as error:
        why = str(error).partition("\n")[0]
        raise InputError(f"explain: the network cannot read images of {tuple(inputs.shape[1:])}: {why}") from None


def _require_outputs(explained: ExplainedNetwork, inputs: Tensor, classes: Sequence[str]) -> None:
    """Raises: InputError where the network tells another number of classes apart than are named."""
    outputs = _outputs(explained, inputs)
    if len(classes) != outputs:
        raise InputError(f"explain: {len(classes)} classes are named, and the network tells {outputs} apart")


def _subjects(explained: ExplainedNetwork, rule: Preprocess | None, images: Any, masks: Any) -> Iterator[_Subject]:
    """Raises: InputError where there are not as many masks; DataError where an image or its mask cannot be used."""
    given = list(images if rule is None else checked_images(images, "explain"))
    told = [None] * len(given) if masks is None else [None if mask is None else _bool(mask) for mask in masks]
    if len(told) != len(given):
        raise InputError(f"explain: {len(told)} masks for {len(given)} images; give one for each, or None")
    for number, (image, mask) in enumerate(zip(given, told, strict=True)):
        name = str(image) if isinstance(image, Path) else f"images[{number}]"
        try:
            if rule is None:
                yield _bare(name, explained, image, mask)
                continue
            picture = _picture(name, image, rule, mask)
        except DataError as error:
            raise DataError(f"explain: {name} {error}") from None
        inputs = explained.inputs(picture.pixels[None])
        yield _Subject(name, inputs, picture.pixels.movedim(0, 2).numpy(), picture.mask)


def _bool(mask: Any) -> NDArray[np.bool_]:
    """Raises: InputError for anything else: numbers may be a truth, its inverse, or as many classes as there are."""
    found = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if found.dtype != np.bool_:
        raise InputError(f"explain: a mask of {found.dtype}; give bool (H, W), as mask > 0 makes of it")
    return found


def _picture(name: str, image: Path | NDArray[np.uint8], rule: Preprocess, mask: Any) -> Picture:
    """Raises: DataError."""
    if isinstance(image, Path):
        return from_file(image, rule, mask)
    return from_array(name, image, rule, mask)


def _bare(name: str, explained: ExplainedNetwork, image: Tensor, mask: Any) -> _Subject:
    """An image (C, H, W) as the network reads it, seen with its least number black and its largest white."""
    if mask is not None and mask.shape != image.shape[1:]:
        raise DataError(f"has {image.shape[2]}×{image.shape[1]} pixels, and its mask the shape {mask.shape}")
    values = np.nan_to_num(image.detach().float().cpu().numpy())
    grey = values if len(values) in (1, 3) else values.mean(axis=0, keepdims=True)
    scaled = (grey - grey.min()) / max(float(np.ptp(grey)), 1e-12)
    seen = np.rint(255 * np.moveaxis(scaled, 0, 2)).astype(np.uint8)
    return _Subject(name, image[None].to(explained.device).float(), seen, mask)
