"""Predicts the utility of networks at the end of the final training, from short trainings and what networks cost.

Short scores alone rank networks wrongly: at one multiply-add budget, wide networks at a low resolution learn fast and
small ones at a high resolution end higher. The slope of a learning curve depends on what a network costs, so a Gaussian
process over costs, the length of the training, and their products learns it from all rungs of all trials. On twelve
networks of Fashion-MNIST, the rank correlation with trainings of a million images is 0.66 from scores after 12,000 and
24,000 images, which alone have -0.38 and -0.20; the scores after 48,000 images have 0.36
(tests/benchmarks/prediction.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.searching.strategies.base import Shapes, gene_features
from lightcnn.searching.strategies.gaussian_process import AveragedProcess
from lightcnn.searching.trials.storage import Outcome

CURVATURE = 0.25
"""Learning curves flatten: with 0, lengths are the logarithm of images, and promises are too high (decision 0012)."""
UNIT_IMAGES = 30_000
"""The number of images at which the scale of lengths is that of the logarithm."""
LENGTH_SCALE = 1.5
"""The unit of lengths; a rung is 0.7 of it at `UNIT_IMAGES`."""
MAX_POINTS = 400
"""Scores that are fitted; of more, the last one of each network comes first, then those of the longest trainings; of
equal lengths, those of the first trials."""
LEARNING_GENES = ("act",)
"""Genes that change how a network learns but hardly what it costs: networks with ReLU learn fast and end lower."""
MIN_NETWORKS = 4
"""Networks with a score that a prediction needs."""


class CurvePredictor:
    """Predicts utilities at the end of the final training from the costs of networks: a `UtilityPredictor`.

    `shapes` is the space of the networks. Their costs are kept: all networks are looked at again after every score.
    """

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._costs: dict[str, Sequence[float]] = {}

    def __call__(self, outcomes: Sequence[Outcome], images: int, /) -> list[float]:
        """The utility of every outcome, all of which have scores, after a training of so many images.

        It is that of averaged weights while the learning rate is still high. With fewer than four networks, or if their
        utilities are all equal, it is that of the last rung.
        """
        curves = LearningCurves.fit(outcomes, self._costs_of)
        return [outcome.utilities[outcome.images] for outcome in outcomes] if curves is None else curves.at(images)

    def _costs_of(self, outcome: Outcome) -> Sequence[float]:
        if outcome.key not in self._costs:
            self._costs[outcome.key] = network_costs(self._shapes, outcome)
        return self._costs[outcome.key]


def network_costs(shapes: Shapes, outcome: Outcome) -> Sequence[float]:
    """The costs of the network of a trial, and its `LEARNING_GENES`."""
    genes = [gene for gene in shapes.genes() if gene.name in LEARNING_GENES]
    return [*shapes.features(shapes.inspect(outcome.shape)), *gene_features(genes, outcome.shape)]


@dataclass(frozen=True)
class LeftOut:
    """The last utility of a trial, and what is predicted for it from all other utilities, its own earlier ones too.

    `before` is the utility of the trial at its length before.
    """

    trial: int
    images: int
    utility: float
    predicted: float
    before: float


@dataclass(frozen=True)
class LearningCurves:
    """The learning curves of networks under one fitted process; `fit` makes them.

    `costs` (N, F) are standardised, `scored` are the row and the images of each fitted score; `centre` is subtracted
    from lengths, `mean` and `deviation` are those of the scores.
    """

    outcomes: Sequence[Outcome]
    costs: NDArray[np.float64]
    scored: tuple[tuple[int, int], ...]
    process: AveragedProcess
    centre: float
    mean: float
    deviation: float

    @classmethod
    def fit(cls, outcomes: Sequence[Outcome], costs_of: Callable[[Outcome], Sequence[float]]) -> LearningCurves | None:
        """The curves of all scores; None if they are too few, all equal, or the networks have no costs."""
        utilities = [outcome.utilities[outcome.images] for outcome in outcomes]
        if len(outcomes) < MIN_NETWORKS or len(set(utilities)) == 1:
            return None
        costs = _standardised(np.array([costs_of(outcome) for outcome in outcomes], dtype=np.float64))
        if not costs.size:
            return None
        scores = [(seen, row, value) for row, outcome in enumerate(outcomes) for seen, value in outcome.curve.items()]
        lasts = [outcome.images for outcome in outcomes]
        scores = sorted(scores, key=lambda score: (score[0] < lasts[score[1]], -score[0], score[1]))[:MAX_POINTS]
        rows, targets = np.array([row for _, row, _ in scores]), np.array([value for _, _, value in scores])
        seen = _lengths([length for length, _, _ in scores])
        mean, deviation = float(targets.mean()), max(float(targets.std()), 1e-9)
        centre = float(seen.mean())
        process = AveragedProcess.fit(_points(costs[rows], seen - centre), (targets - mean) / deviation)
        scored = tuple((row, length) for length, row, _ in scores)
        return cls(tuple(outcomes), costs, scored, process, centre, mean, deviation)

    def at(self, images: int) -> list[float]:
        """The utility of every network after so many images."""
        lengths = np.full(len(self.costs), _lengths([images])[0] - self.centre)
        predicted = self.process.predict(_points(self.costs, lengths))
        return [float(value) for value in self.mean + self.deviation * predicted]

    def left_out(self) -> list[LeftOut]:
        """How well the last utilities of the trials with two scores and more are predicted without them."""
        predicted = dict(zip(self.scored, self.mean + self.deviation * self.process.left_out(), strict=True))
        checked = []
        for row, outcome in enumerate(self.outcomes):
            last = outcome.images
            shorter = {images: value for images, value in outcome.curve.items() if images < last}
            if shorter and (row, last) in predicted:
                utility, before = outcome.utilities[last], shorter[max(shorter)]
                checked.append(LeftOut(outcome.number, last, utility, float(predicted[row, last]), before))
        return checked


def _lengths(images: Sequence[int]) -> NDArray[np.float64]:
    """Lengths (N,) of trainings of so many images, in which learning curves are about straight."""
    logarithms = np.log(np.array(images, dtype=np.float64) / UNIT_IMAGES)
    return np.asarray(-np.expm1(-CURVATURE * logarithms) / CURVATURE)


def _points(costs: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs (N, F) and lengths (N,) → points (N, 2 F + 1) with their products."""
    scaled = lengths[:, None] / LENGTH_SCALE
    return np.hstack([costs, scaled, scaled * costs])


def _standardised(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns with mean 0 and deviation 1, without constant ones."""
    deviation = costs.std(axis=0)
    return np.asarray((costs - costs.mean(axis=0))[:, deviation > 1e-9] / deviation[deviation > 1e-9])
