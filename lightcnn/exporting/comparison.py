"""An exported file compared with PyTorch: probabilities, predicted classes, accuracy, time; and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.tensors import normalise
from lightcnn.decisions import decide
from lightcnn.errors import LightcnnError
from lightcnn.evaluation.scores import accuracy_score
from lightcnn.exporting.formats import ExportFormat
from lightcnn.exporting.subject import ExportedFormat, ExportSubject, ImageSet
from lightcnn.inference import class_probabilities, probabilities
from lightcnn.measurement.latency import Latency, TimedModel, measure, torch_threads, warm_up
from lightcnn.progress import Progress

TOLERANCE = 1e-5
"""How far probabilities in fp32 may differ from PyTorch's. ONNX Runtime's differed by at most 2.4e-7 for a network
with a million multiply-adds, whose logits differed by 4e-6."""
NOISE_IMAGES = 64
"""Images of noise on which files are compared if the run's data cannot be read."""
CHUNK = 256
"""Images that are predicted at once."""
TIMING_SECONDS = 5.0
"""Duration of the timing rounds, for all files together."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """What PyTorch predicts: probabilities (N, classes) of the test set or of noise images, and of the validation set.

    `labelled` is the test set, or None for noise. `validation` is None if no file needs it, or the data are missing.
    """

    images: Tensor
    probabilities: Numbers
    labelled: ImageSet | None
    accuracy: dict[str, Any] | None
    validation: Numbers | None


@dataclass(frozen=True)
class Comparison:
    """How a file compares with PyTorch: the `parity`, `accuracy` and `validation` of export.json."""

    parity: dict[str, Any]
    accuracy: dict[str, Any] | None
    validation: dict[str, Any] | None


def make_reference(subject: ExportSubject, *, with_validation: bool) -> Reference:
    """Predicts the test set, or noise images if the data cannot be read, and optionally the validation set."""
    preprocess, test, validation = subject.preprocess, subject.test, subject.validation
    images = _noise(subject) if test is None else test.images
    predicted = probabilities(subject.deployed, images, preprocess)
    of_validation = None
    if with_validation and validation is not None:
        of_validation = probabilities(subject.deployed, validation.images, preprocess)
    return Reference(images, predicted, test, _accuracy(subject, test, predicted), of_validation)


def compare(
    subject: ExportSubject,
    reference: Reference,
    row: ExportFormat,
    exported: ExportedFormat,
    *,
    max_loss_points: float,
    progress: Progress,
) -> Comparison:
    """Compares a file with PyTorch on all images of the reference.

    Raises: LightcnnError if the file misses the tolerance of fp32, or loses too much accuracy in int8.
    """
    _require_int8(row, exported)
    step, threshold = f"comparing {row.name} with PyTorch", subject.preprocess.threshold
    predicted = _in_batches(exported, reference.images, step, progress)
    difference = float(np.abs(predicted - reference.probabilities).max())
    agreement = float((decide(predicted, threshold) == decide(reference.probabilities, threshold)).mean())
    if not np.isfinite(predicted).all() or (not row.is_int8 and difference > TOLERANCE):
        raise LightcnnError(
            f"{row.name}: its probabilities differ from PyTorch's by up to {difference:.2g}, more than {TOLERANCE:g}; "
            "the file was not kept"
        )
    parity = {
        "max_abs_difference": difference, "agreement": agreement, "images": len(predicted),
        "of": "noise" if reference.labelled is None else "test",
    }  # fmt: skip
    validation = None
    if row.is_int8:
        validation = _validation(subject, reference, exported, max_loss_points, progress)
    return Comparison(parity, _accuracy(subject, reference.labelled, predicted), validation)


def named_harm(exported: ExportedFormat) -> str:
    """The layers that repair most of the loss if they stay in float, and the coarsest activations, if known."""
    calibration = exported.details.get("calibration", {})
    layers = ", ".join(each["layer"] for each in calibration.get("harmful_layers", []))
    activations = ", ".join(each["activation"] for each in calibration.get("harmful_activations", []))
    parts = [f"most of it by: {layers}"] if layers else []
    parts += [f"coarse activations: {activations}"] if activations else []
    return f" ({'; '.join(parts)})" if parts else ""


def _require_int8(row: ExportFormat, exported: ExportedFormat) -> None:
    """Raises: LightcnnError if a format in int8 has numbers of another type in its files."""
    types = exported.number_types
    if row.is_int8 and not (types and types.is_int8):
        raise LightcnnError(
            f"{row.name}: the file is not in int8, but has {types or 'numbers of unknown types'} (a bug in lightcnn); "
            "the file was not kept"
        )


def _validation(
    subject: ExportSubject, reference: Reference, exported: ExportedFormat, max_loss_points: float, progress: Progress
) -> dict[str, Any]:
    """Accuracy on the validation set in fp32 and in int8. Raises: LightcnnError if too much is lost."""
    images = subject.validation
    assert images is not None and reference.validation is not None
    step = f"validating {exported.format}"
    predicted = _in_batches(exported, images.images, step, progress)
    threshold = subject.preprocess.threshold
    before, after = (
        float((decide(table, threshold) == images.labels).mean()) for table in (reference.validation, predicted)
    )
    lost = 100 * (before - after)
    if round(lost, 9) > max_loss_points:  # a loss of exactly so many points is rarely exact in floating point
        raise LightcnnError(
            f"{exported.format}: the accuracy on the validation set falls from {before:.2%} to {after:.2%}, by "
            f"{lost:.2f} percentage points, more than --max-loss-points {max_loss_points:g}{named_harm(exported)}; "
            "the file was not kept"
        )
    return {"fp32": before, "int8": after, "points_lost": lost, "images": len(predicted)}


def _accuracy(subject: ExportSubject, images: ImageSet | None, predicted: Numbers) -> dict[str, Any] | None:
    if images is None:
        return None
    groups = images.groups.astype(np.str_)
    return accuracy_score(images.labels, predicted, groups=groups, threshold=subject.preprocess.threshold)


def _in_batches(exported: ExportedFormat, images: Tensor, step: str, progress: Progress) -> Numbers:
    """Probabilities (N, classes) that the file gives for images (N, C, S, S)."""
    parts = []
    for start in range(0, len(images), CHUNK):
        progress(step, start, len(images))
        parts.append(exported.probabilities(last_axis(images[start : start + CHUNK])))
    progress(step, len(images), len(images))
    return np.concatenate(parts)


def last_axis(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, C, S, S) as (N, S, S, C)."""
    return np.ascontiguousarray(images.movedim(1, 3).numpy())


def _noise(subject: ExportSubject) -> Tensor:
    """Images (N, C, S, S) of uniform noise."""
    size, channels = subject.preprocess.size, subject.preprocess.channels
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (NOISE_IMAGES, channels, size, size), dtype=np.uint8))


def measure_latencies(
    subject: ExportSubject, exported: Sequence[ExportedFormat], image: Tensor, progress: Progress
) -> list[Latency]:
    """The time from pixels (C, S, S) to probabilities: in PyTorch, then of each file, in the same rounds."""

    def in_torch() -> None:
        with torch.inference_mode():
            inputs = normalise(image[None], subject.preprocess).contiguous(memory_format=torch.channels_last)
            logits = subject.deployed(inputs)
            class_probabilities(logits, subject.preprocess.temperature)

    pixels = last_axis(image[None])
    runs = {"folded": in_torch} | {each.format: _prediction(each, pixels) for each in exported}
    with torch_threads(1):
        models = [_timed(name, run) for name, run in runs.items()]
    return measure(models, seconds=TIMING_SECONDS, threads=1, progress=progress)


def _prediction(exported: ExportedFormat, pixels: NDArray[np.uint8]) -> Callable[[], Any]:
    return lambda: exported.probabilities(pixels)


def _timed(name: str, predict: Callable[[], Any]) -> TimedModel:
    """A function that predicts one image, warmed up."""

    def run() -> float:
        start = time.perf_counter()
        predict()
        return 1000 * (time.perf_counter() - start)

    warm_up(run)
    return TimedModel(runtime=name, layout="contiguous", device="cpu", batch=1, run=run, many=run)
