"""Which weights a search delivers: the best on the whole validation set, and how sure that is.

If the network is deployed in 8 bits, the weights of each network are chosen as in float, and the networks are then
compared after quantization.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.engine.saved_state import load_weights
from lightcnn.errors import LightcnnError, RunError
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.run_folder import RunFolder
from lightcnn.searching.deployment.names import DeployName
from lightcnn.searching.deployment.quantization import quantized_probabilities
from lightcnn.searching.metric_names import MetricName, rank
from lightcnn.searching.trainings.finals import Finalist, FinalProgress
from lightcnn.searching.trainings.judge import Judge
from lightcnn.searching.trials.finalists import STANDARD_ERRORS


class Judged(NamedTuple):
    """Predictions for the validation set, (N, classes), and their value by the metric, the higher the better."""

    probabilities: NDArray[np.float64]
    score: float


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights that could be delivered: those of a finalist after `step` steps, averaged or live.

    `ended` if the learning rate had fallen to zero. `probabilities` are those of the validation set, (N, classes),
    `score` is their value by the metric, the higher the better, and `accuracy` their accuracy. `quantized` has the
    predictions and the score in 8 bits, if those are judged.
    """

    finalist: Finalist
    progress: FinalProgress
    file: str
    step: int
    averaged: bool
    ended: bool
    model: nn.Module
    probabilities: NDArray[np.float64]
    score: float
    accuracy: float
    quantized: Judged | None = None

    @property
    def judged(self) -> Judged:
        """What networks are compared by: the predictions in 8 bits, if there are any."""
        return self.quantized or Judged(self.probabilities, self.score)

    def document(self, metric: MetricName) -> dict[str, Any]:
        """The trial and its validation scores in report.json."""
        int8 = {"val_int8": {metric: abs(self.quantized.score)}} if self.quantized else {}
        return {"trial": self.finalist.outcome.number, "val": {metric: abs(self.score)}, **int8}


@dataclass(frozen=True)
class Choice:
    """The weights of every network that could be delivered, best first, and how the first two differ by the metric."""

    metric: MetricName
    networks: Sequence[Weights]
    difference: float
    standard_error: float

    @property
    def best(self) -> Weights:
        """The weights to deliver."""
        return self.networks[0]

    @property
    def runner_up(self) -> Weights | None:
        """The weights of the best other network, if any."""
        return self.networks[1] if len(self.networks) > 1 else None

    def document(self) -> dict[str, Any]:
        """The choice in report.json."""
        other = self.runner_up
        return {
            "weights": "averaged" if self.best.averaged else "live",
            "steps": self.best.step,
            "decayed": self.best.ended,
            "metric": self.metric,
            "runner_up": other and other.document(self.metric),
            "difference": None if other is None else self.difference,
            "standard_error": self.standard_error if other and math.isfinite(self.standard_error) else None,
            "beyond_noise": other is not None and self.difference > STANDARD_ERRORS * self.standard_error,
        }


def all_weights(
    pipeline: Pipeline,
    folder: RunFolder,
    judge: Judge,
    finalists: Sequence[Finalist],
    progress: Sequence[FinalProgress],
) -> list[Weights]:
    """The weights of the finalists that may be the best: at all their ends, and earlier ones that scored higher.

    A training that was continued has several ends. Earlier ones are those of the last and of the best part before the
    learning rate fell, and of the last rung. None of a network that does not predict finite numbers.
    """
    candidates = []
    for finalist, trained in zip(finalists, progress, strict=True):
        to_beat: float | None = None
        chosen: list[Weights] = []
        for stage in _stages(finalist, trained, judge.metric):
            to_beat = max(stage.ranks) if to_beat is None else to_beat
            first = not chosen  # of an end that cannot be read, the weights before it are candidates
            wanted = first or stage.ended
            for averaged, score in zip((True, False), stage.ranks, strict=True):
                if wanted or score > to_beat:
                    chosen += _evaluated(pipeline, folder, judge, finalist, stage, averaged)
        candidates += chosen
    return candidates


def contenders(weights: Sequence[Weights], judge: Judge) -> list[Finalist]:
    """The networks that are not worse than the best by more than noise; none if the best is the only one.

    None either if the noise is not known.
    """
    best, *others = choose(weights, judge).networks
    near = [item for item in others if _is_near(best, item, judge)]
    return [item.finalist for item in (best, *near)] if near else []


def choose(
    weights: Sequence[Weights],
    judge: Judge,
    quantize: Callable[[Sequence[Weights]], Sequence[Weights]] = lambda weights: weights,
    expense: Callable[[Weights], float] = lambda item: 0.0,
) -> Choice:
    """The best weights of each training, the longest trained within noise; then those with the highest score.

    Of the same scores, those with the lowest `expense`, and then those that were trained longer. A network may have
    been trained with two seeds.
    `quantize` adds the predictions in 8 bits to the weights of each network, and leaves out those that have none.
    """
    trainings: dict[tuple[int, bool], list[Weights]] = {}
    for item in weights:
        trainings.setdefault((item.finalist.outcome.number, item.finalist.second), []).append(item)
    networks: dict[int, Weights] = {}
    for (number, _), candidates in sorted(trainings.items(), key=lambda pair: pair[0]):
        best = _of_training(candidates, judge)
        if number not in networks or best.score > networks[number].score:
            networks[number] = best
    ranked = sorted(
        quantize(list(networks.values())),
        key=lambda item: (-item.judged.score, expense(item), -item.step, item.finalist.outcome.number),
    )
    if len(ranked) == 1:
        return Choice(judge.metric, ranked, 0.0, 0.0)
    first, other = (item.judged for item in ranked[:2])
    error = judge.error(first.probabilities, other.probabilities)
    return Choice(judge.metric, ranked, first.score - other.score, error)


def quantize_all(
    weights: Sequence[Weights], *, pipeline: Pipeline, folder: RunFolder, judge: Judge, deploy: DeployName
) -> list[Weights]:
    """The weights with their predictions in 8 bits. Raises: LightcnnError if none of them can be quantized."""
    quantized, problems = [], []
    for item in weights:
        spec, number = item.finalist.candidate.spec, item.finalist.outcome.number
        try:
            predicted = quantized_probabilities(item.model, spec, pipeline, deploy)
        except LightcnnError as error:
            problems.append(f"trial {number}: {error}")
            folder.log(f"trial {number} is not compared with the others, since it cannot be quantized: {error}")
            continue
        quantized.append(replace(item, quantized=Judged(predicted, judge.score(predicted))))
    if not quantized:
        raise LightcnnError(f"--deploy {deploy}: no network can be quantized: {'; '.join(problems)}")
    return quantized


def _of_training(candidates: Sequence[Weights], judge: Judge) -> Weights:
    """The longest trained weights that are not worse than the best by more than noise; not at all if it is unknown."""
    best = max(candidates, key=lambda item: item.score)
    near = [item for item in candidates if item.score == best.score or _is_near(best, item, judge)]
    return max(near, key=lambda item: (item.step, item.score, item.averaged))


def _is_near(best: Weights, item: Weights, judge: Judge) -> bool:
    """Whether the difference of two scores is noise; not if that is unknown."""
    noise = STANDARD_ERRORS * judge.error(best.probabilities, item.probabilities)
    return math.isfinite(noise) and best.score - item.score <= noise


class _Stage(NamedTuple):
    """A moment of a training, its state, and the ranks of its averaged and its live weights on some images."""

    progress: FinalProgress
    step: int
    file: str
    ended: bool
    ranks: tuple[float, float]


def _stages(finalist: Finalist, progress: FinalProgress, metric: MetricName) -> list[_Stage]:
    """The ends of a training, the last and the best part before the learning rate fell, and the last rung."""
    parts = [part for part in (*progress.parts[-1:], progress.best_part(metric)) if part is not None]
    stages = [
        _Stage(ending, ending.end.step, ending.end_file, True, ending.end.ranks(metric))
        for ending in progress.endings
        if ending.end is not None
    ]
    for part in dict.fromkeys(parts):
        stages.append(_Stage(progress, part.step, progress.part_file(part), False, part.ranks(metric)))
    if not progress.second:
        rung = progress.rung_file
        stages.append(_Stage(progress, progress.first_step, rung, False, _ranks_at_rung(finalist, metric)))
    return stages


def _ranks_at_rung(finalist: Finalist, metric: MetricName) -> tuple[float, float]:
    """Those of the last rung, where only the averaged weights were scored."""
    outcome = finalist.outcome
    value = outcome.score if metric == "accuracy" else outcome.values.get(outcome.images)
    if value is not None:
        return rank(metric, value), -math.inf
    utility = outcome.utilities.get(outcome.images)
    return -math.inf if utility is None else -math.exp(-utility), -math.inf


def _evaluated(
    pipeline: Pipeline,
    folder: RunFolder,
    judge: Judge,
    finalist: Finalist,
    stage: _Stage,
    averaged: bool,
) -> list[Weights]:
    """The weights in a state, evaluated on the whole validation set; none if they predict no finite numbers."""
    spec, validation = finalist.candidate.spec, pipeline.split.val
    model = build(spec, stage.progress.seed).to(pipeline.device)
    try:
        load_weights(folder, stage.file, model, averaged=averaged)
    except RunError as error:
        folder.log(str(error))
        return []
    size = spec.input[1]
    predicted = probabilities(model, pipeline.images(validation, size), pipeline.preprocess(size))
    if not np.isfinite(predicted).all():
        return []
    score, accuracy = judge.score(predicted), float(judge.correct(predicted).mean())
    kind = (stage.file, stage.step, averaged, stage.ended)
    return [Weights(finalist, stage.progress, *kind, model, predicted, score, accuracy)]
