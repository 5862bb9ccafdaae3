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
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import RunFolder
from lightcnn.trained_network import ABSTAINED, TrainedNetwork, require_probability


@dataclass(frozen=True)
class Result:
    """How many images were predicted, abstained from and skipped, and how many files and run folders were ignored.

    `warnings` are about what was done to the values of the files.
    """

    classes: tuple[str, ...]
    predicted: int
    abstained: int
    skipped: tuple[Skipped, ...]
    ignored: int
    run_folders: int
    seconds: float
    warnings: tuple[ReportWarning, ...] = ()


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
    predicted = abstained = 0
    skipped: list[Skipped] = []
    conversions: Counter[Conversion] = Counter()
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.end)
            sink.begin(network.preprocess.classes)
        for image, row in network.stream(walk(settings.inputs), on_conversion=lambda each: conversions.update([each])):
            name = image.image if isinstance(image, Skipped) else str(image)
            if isinstance(row, str):
                skipped.append(Skipped(name, row))
                on_skip(skipped[-1])
            else:
                predicted += 1
                abstained += int(row.max() < settings.abstain_below)
                for sink in sinks:
                    sink.add(name, network.decide(row, settings.abstain_below), row)
            finished = predicted + len(skipped)
            progress("predicting", finished, max(finished, count.images))
    return Result(
        classes=network.preprocess.classes, predicted=predicted, abstained=abstained, skipped=tuple(skipped),
        ignored=count.ignored, run_folders=count.run_folders, seconds=time.monotonic() - started,
        warnings=pixel_warnings(conversions.elements(), network.preprocess.scale),
    )  # fmt: skip


def _load(settings: PredictSettings) -> TrainedNetwork:
    """The network of the run. Raises: InputError if one of its classes is called like an abstention."""
    network = TrainedNetwork.load(RunFolder.load(settings.folder), device=settings.device)
    if settings.abstain_below and ABSTAINED in network.preprocess.classes:
        raise InputError(
            f"--abstain-below: the run has a class {ABSTAINED!r}, which could not be distinguished from an abstention"
        )
    return network
