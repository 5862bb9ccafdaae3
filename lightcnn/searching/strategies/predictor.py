"""Predicts the utility of networks at the end of the final training, from short trainings and what networks cost.

Short scores alone rank networks wrongly: at one multiply-add budget, wide networks at a low resolution learn fast and
small ones at a high resolution end higher. The slope of a learning curve depends on what a network costs, so a Gaussian
process over costs, the logarithm of the images seen, and their products learns it from all rungs of all trials. On 12
networks of Fashion-MNIST, the rank correlation with trainings of a million images is 0.65 from scores after 12,000 and
24,000 images, which alone have -0.38 and -0.20; the scores after 48,000 images have 0.36
(tests/benchmarks/prediction.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightcnn.searching.strategies.base import Shapes
from lightcnn.searching.strategies.gaussian_process import GaussianProcess
from lightcnn.searching.trials.storage import Outcome

LENGTH_SCALE = 1.5
"""The unit of the logarithm of images; a rung is 0.7 of it."""
MAX_POINTS = 400
"""Scores that are fitted; of more, those of the longest trainings."""


def predict_utility(shapes: Shapes, outcomes: Sequence[Outcome], images: int, /) -> list[float]:
    """The utility of every outcome, all of which have scores, after a training of so many images.

    With fewer than four networks, or if their utilities are all equal, it is that of the last rung.
    """
    utilities = [outcome.utilities[outcome.images] for outcome in outcomes]
    if len(outcomes) < 4 or len(set(utilities)) == 1:
        return utilities
    costs = _standardised(np.array([shapes.features(shapes.inspect(o.shape)) for o in outcomes], dtype=np.float64))
    if not costs.size:
        return utilities
    scores = [
        (seen, row, value)
        for row, outcome in enumerate(outcomes)
        for seen, value in (*outcome.early.items(), *outcome.utilities.items())
    ]
    scores = sorted(scores, key=lambda score: (-score[0], score[1]))[:MAX_POINTS]
    rows, targets = np.array([row for _, row, _ in scores]), np.array([value for _, _, value in scores])
    seen = np.log([length for length, _, _ in scores])
    mean, deviation = float(targets.mean()), max(float(targets.std()), 1e-9)
    centre = float(seen.mean())
    process = GaussianProcess.fit(_points(costs[rows], seen - centre), (targets - mean) / deviation)
    predicted, _ = process.predict(_points(costs, np.full(len(costs), np.log(images) - centre)))
    return [float(value) for value in mean + deviation * predicted]


def _points(costs: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs (N, F) and lengths (N,) → points (N, 2 F + 1) with their products."""
    scaled = lengths[:, None] / LENGTH_SCALE
    return np.hstack([costs, scaled, scaled * costs])


def _standardised(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns with mean 0 and deviation 1, without constant ones."""
    deviation = costs.std(axis=0)
    return np.asarray((costs - costs.mean(axis=0))[:, deviation > 1e-9] / deviation[deviation > 1e-9])
