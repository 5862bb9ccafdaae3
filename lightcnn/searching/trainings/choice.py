"""Which weights a search delivers: the best on the whole validation set, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.engine.saved_state import load_weights
from lightcnn.errors import LightcnnError, RunError
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.finals import Finalist, FinalProgress
from lightcnn.searching.trainings.jobs import TrainingResult, WeightScore

STANDARD_ERRORS = 2.0
"""A difference of fewer standard errors is noise."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights that could be delivered: those of a finalist after `step` steps, averaged or live.

    `ended` if the learning rate had fallen to zero. `probabilities` are those of the validation set, (N, classes),
    `correct` whether an image is classified correctly, (N,).
    """

    finalist: Finalist
    progress: FinalProgress
    file: str
    step: int
    averaged: bool
    ended: bool
    model: nn.Module
    probabilities: NDArray[np.float64]
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """On the whole validation set."""
        return float(self.correct.mean())


@dataclass(frozen=True)
class Choice:
    """The weights to deliver, those of the best other network, if any, and their paired difference in accuracy."""

    best: Weights
    runner_up: Weights | None
    difference: float
    standard_error: float

    def document(self) -> dict[str, Any]:
        """The choice in report.json."""
        other = self.runner_up
        return {
            "weights": "averaged" if self.best.averaged else "live",
            "steps": self.best.step,
            "decayed": self.best.ended,
            "runner_up": other and {"trial": other.finalist.outcome.number, "val": {"accuracy": other.accuracy}},
            "difference": None if other is None else self.difference,
            "standard_error": self.standard_error if other and math.isfinite(self.standard_error) else None,
            "beyond_noise": other is not None and self.difference > STANDARD_ERRORS * self.standard_error,
        }


def all_weights(
    pipeline: Pipeline, folder: RunFolder, finalists: Sequence[Finalist], progress: Sequence[FinalProgress]
) -> list[Weights]:
    """The weights of the finalists that may be the best: at their ends, and earlier ones that scored higher.

    Raises: LightcnnError if no network predicts finite numbers.
    """
    candidates = []
    for finalist, trained in zip(finalists, progress, strict=True):
        stages = _stages(trained)
        to_beat = max((score.accuracy for score in _scores(stages[0][0])), default=0.0)
        chosen: list[Weights] = []
        for result, file, ended in stages:
            first = not chosen  # of an end that cannot be read, the weights before it are candidates
            for averaged, score in zip((True, False), _scores(result) or (None, None), strict=True):
                if first or (score is not None and score.accuracy > to_beat):
                    step = result.step if result else trained.first_step
                    chosen += _evaluated(pipeline, folder, finalist, trained, file, step, averaged, ended)
        candidates += chosen
    if not candidates:
        raise LightcnnError(f"run {folder.path}: no network of the final training predicts finite numbers")
    return candidates


def choose(weights: Sequence[Weights], groups: NDArray[np.str_]) -> Choice:
    """The best weights of each network, the longest trained within noise; then the network with the highest accuracy.

    `groups` (N,) are those of the validation images; images of one group are not independent.
    """
    by_network: dict[int, list[Weights]] = {}
    for candidate in weights:
        by_network.setdefault(candidate.finalist.outcome.number, []).append(candidate)
    chosen = [_of_network(candidates, groups) for candidates in by_network.values()]
    ranked = sorted(chosen, key=lambda item: (-item.accuracy, item.finalist.outcome.number))
    best, other = ranked[0], ranked[1] if len(ranked) > 1 else None
    difference = best.accuracy - other.accuracy if other else 0.0
    return Choice(best, other, difference, paired_error(best.correct, other.correct, groups) if other else 0.0)


def paired_error(first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """The standard error of the difference of two accuracies on the same images, whose groups are independent."""
    difference = first.astype(float) - second.astype(float)
    centred = difference - difference.mean()
    _, group = np.unique(groups, return_inverse=True)
    sums = np.bincount(group, weights=centred)
    count = len(sums)
    if count < 2:
        return math.inf
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(difference))


def _of_network(candidates: Sequence[Weights], groups: NDArray[np.str_]) -> Weights:
    """The longest trained weights that are not worse than the best by more than noise."""
    best = max(candidates, key=lambda item: (item.accuracy, item.step, item.averaged))
    within = [
        item
        for item in candidates
        if best.accuracy - item.accuracy <= STANDARD_ERRORS * paired_error(best.correct, item.correct, groups)
    ]
    return max(within, key=lambda item: (item.step, item.accuracy, item.averaged))


def _stages(progress: FinalProgress) -> list[tuple[TrainingResult | None, str, bool]]:
    """The result, the state and whether the rate had fallen, of the end, of the step before, and of the last rung."""
    stages: list[tuple[TrainingResult | None, str, bool]] = []
    if progress.end is not None:
        stages.append((progress.end, progress.end_file, True))
    if progress.parts:
        stages.append((progress.parts[-1], progress.stable_file, False))
    stages.append((None, progress.rung_file, False))
    return stages


def _scores(result: TrainingResult | None) -> tuple[WeightScore, ...]:
    """The scores of the averaged and of the live weights; none without a result."""
    return () if result is None or result.averaged is None or result.live is None else (result.averaged, result.live)


def _evaluated(
    pipeline: Pipeline,
    folder: RunFolder,
    finalist: Finalist,
    progress: FinalProgress,
    file: str,
    step: int,
    averaged: bool,
    ended: bool,
) -> list[Weights]:
    """The weights in a state, evaluated on the whole validation set; none if they predict no finite numbers."""
    spec, validation = finalist.candidate.spec, pipeline.split.val
    model = build(spec, progress.seed).to(pipeline.device)
    try:
        load_weights(folder, file, model, averaged=averaged)
    except RunError as error:
        folder.log(str(error))
        return []
    size = spec.input[1]
    predicted = probabilities(model, pipeline.images(validation, size), pipeline.preprocess(size))
    if not np.isfinite(predicted).all():
        return []
    correct = predicted.argmax(axis=1) == pipeline.dataset.labels[validation]
    return [Weights(finalist, progress, file, step, averaged, ended, model, predicted, correct)]
