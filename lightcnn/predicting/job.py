"""Predicts files and folders of any size with the network of a run; each prediction is written at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lightcnn.data.files.conversion import Conversion, pixel_warnings
from lightcnn.data.files.walk import Skipped, count_images, walk
from lightcnn.errors import InputError, RunError
from lightcnn.output.warnings import ReportWarning
from lightcnn.predicting.outputs import Sink
from lightcnn.predicting.settings import PredictSettings
from lightcnn.predictor import ABSTAINED, require_probability
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import RunFolder
from lightcnn.trained_network import TrainedNetwork
from lightcnn.unlikeness import Unlikeness, difference_warnings


@dataclass(frozen=True)
class Result:
    """How many images were predicted, abstained from and skipped, and how many files and run folders were ignored.

    `warnings` are about what was done to the values of the files, and about images unlike the training images.
    `unlikeness` is None if the run has no such score.
    """

    classes: tuple[str, ...]
    predicted: int
    abstained: int
    skipped: tuple[Skipped, ...]
    ignored: int
    run_folders: int
    seconds: float
    warnings: tuple[ReportWarning, ...] = ()
    unlikeness: Unlikeness | None = None


def run(
    settings: PredictSettings,
    sinks: Sequence[Sink],
    *,
    on_skip: Callable[[Skipped], None] = lambda _: None,
    progress: Progress = no_progress,
) -> Result:
    """Predicts all images, in order, into every sink; `on_skip` is called with each image that cannot be read.

    Raises: InputError before anything is written if the run, an input or an option cannot be used.
    """
    started = time.monotonic()
    require_probability(settings.abstain_below)
    if settings.folder.suffix.lower() == ".onnx" and not settings.folder.is_dir():
        raise RunError(
            f"run {settings.folder}: exported models cannot be read yet; give the run folder it was exported from"
        )
    count = count_images(settings.inputs)
    network = _load(settings)
    unlikeness = network.preprocess.unlikeness
    abstained = 0
    skipped: list[Skipped] = []
    scores: list[float | None] = []
    mismatches: Counter[tuple[str, ...]] = Counter()
    conversions: Counter[Conversion] = Counter()
    stream = network.evaluations(walk(settings.inputs), on_conversion=lambda each: conversions.update([each]))
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.end)
            sink.begin(network.preprocess.classes, scored=unlikeness is not None)
        for image, row in stream:
            name = image.image if isinstance(image, Skipped) else str(image)
            if isinstance(row, str):
                skipped.append(Skipped(name, row))
                on_skip(skipped[-1])
            else:
                abstained += int(row.probabilities.max() < settings.abstain_below)
                scores.append(row.unlikeness)
                mismatches.update([row.mismatches])
                for sink in sinks:
                    prediction = network.decide(row.probabilities, settings.abstain_below)
                    sink.add(name, prediction, row.probabilities, row.unlikeness)
            finished = len(scores) + len(skipped)
            progress("predicting", finished, max(finished, count.images))
    return Result(
        classes=network.preprocess.classes, predicted=len(scores), abstained=abstained, skipped=tuple(skipped),
        ignored=count.ignored, run_folders=count.run_folders, seconds=time.monotonic() - started,
        unlikeness=unlikeness,
        warnings=(
            *pixel_warnings(conversions.elements(), network.preprocess.scale),
            *difference_warnings(unlikeness, scores, mismatches),
        ),
    )  # fmt: skip


def _load(settings: PredictSettings) -> TrainedNetwork:
    """The network of the run. Raises: InputError if one of its classes is called like an abstention."""
    network = TrainedNetwork.load(RunFolder.load(settings.folder), device=settings.device)
    if settings.abstain_below and ABSTAINED in network.preprocess.classes:
        raise InputError(
            f"--abstain-below: the run has a class {ABSTAINED!r}, which could not be distinguished from an abstention"
        )
    return network
