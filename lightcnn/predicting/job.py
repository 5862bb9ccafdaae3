"""Predicts files and folders of any size with a run or an exported file; each prediction is written at once.

torch is loaded for a run only.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lightcnn.data.files.conversion import Conversion, pixel_warnings
from lightcnn.data.files.walk import Skipped, count_images, walk
from lightcnn.errors import InputError
from lightcnn.foreign_model import read_labels
from lightcnn.open_predictor import open_predictor
from lightcnn.output.warnings import ReportWarning
from lightcnn.predicting.outputs import Sink
from lightcnn.predicting.settings import PredictSettings
from lightcnn.predictor import ABSTAINED, Predictor, require_probability
from lightcnn.progress import Progress, no_progress
from lightcnn.unlikeness import Unlikeness, difference_warnings


@dataclass(frozen=True)
class Result:
    """How many images were predicted, abstained from and skipped, and how many files and run folders were ignored.

    `warnings` are about what was done to the values of the files, and about images unlike the training images.
    `unlikeness` is None if the run has no such score. `note` states what was assumed about a file without metadata.
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
    note: str = ""


def run(
    settings: PredictSettings,
    sinks: Sequence[Sink],
    *,
    on_skip: Callable[[Skipped], None] = lambda _: None,
    progress: Progress = no_progress,
) -> Result:
    """Predicts all images, in order, into every sink; `on_skip` is called with each image that cannot be read.

    Raises: InputError before anything is written if the run or file, an input or an option cannot be used.
    """
    started = time.monotonic()
    require_probability(settings.abstain_below)
    count = count_images(settings.inputs)
    predictor = _open(settings)
    unlikeness = predictor.rule.unlikeness
    abstained = 0
    skipped: list[Skipped] = []
    scores: list[float | None] = []
    mismatches: Counter[tuple[str, ...]] = Counter()
    conversions: Counter[Conversion] = Counter()
    stream = predictor.evaluations(walk(settings.inputs), on_conversion=lambda each: conversions.update([each]))
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.end)
            sink.begin(predictor.classes, scored=unlikeness is not None)
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
                    prediction = predictor.decide(row.probabilities, settings.abstain_below)
                    sink.add(name, prediction, row.probabilities, row.unlikeness)
            finished = len(scores) + len(skipped)
            progress("predicting", finished, max(finished, count.images))
    return Result(
        classes=predictor.classes, predicted=len(scores), abstained=abstained, skipped=tuple(skipped),
        ignored=count.ignored, run_folders=count.run_folders, seconds=time.monotonic() - started,
        unlikeness=unlikeness, note=predictor.note,
        warnings=(
            *pixel_warnings(conversions.elements(), predictor.rule.scale),
            *difference_warnings(unlikeness, scores, mismatches),
        ),
    )  # fmt: skip


def _open(settings: PredictSettings) -> Predictor:
    """The run or the exported file. Raises: InputError if one of its classes is called like an abstention."""
    labels = None if settings.labels is None else read_labels(settings.labels)
    predictor = open_predictor(settings.folder, device=settings.device, labels=labels, input=settings.input)
    if settings.abstain_below and ABSTAINED in predictor.classes:
        raise InputError(
            f"--abstain-below: the run has a class {ABSTAINED!r}, which could not be distinguished from an abstention"
        )
    return predictor
