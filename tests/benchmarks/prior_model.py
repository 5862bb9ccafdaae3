"""How `prior.py` fits a prior: a ridge model of differences between networks in the logarithm of their log loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prior_mean import VERSION, Prior, with_length
from scipy.stats import rankdata

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Strengths of the ridge, in numbers of samples."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Networks of one data set and budget after trainings of one length: features (N, F) and targets (N,).

    A target is minus the logarithm of the calibrated log loss of the averaged weights.
    """

    data: str
    features: Matrix
    targets: Matrix
    images: int
    train_images: int

    def centred(self) -> tuple[Matrix, Matrix]:
        """Features with length, and targets, both less their mean: only differences within a group count."""
        points = with_length(self.features, self.images, self.train_images)
        median = np.median(self.targets)
        lowest = median - 2 * (self.targets.max() - median)  # so that no bad network decides
        targets = np.maximum(self.targets, lowest)
        return points - points.mean(axis=0), targets - targets.mean()

    def without(self, network: int) -> Group:
        """The group without one network, if it has so many."""
        rest = np.arange(len(self.targets)) != network
        return Group(self.data, self.features[rest], self.targets[rest], self.images, self.train_images)


def fit_prior(groups: Sequence[Group], trainings: int, penalty: float | None = None) -> Prior:
    """The ridge model of the groups. The penalty is that with the smallest error unless it is given."""
    effects = _ridge(groups, penalty or best_penalty(groups)).reshape(3, 3)
    data = tuple(sorted({group.data for group in groups}))
    return Prior(
        version=VERSION, data=data, trainings=trainings, effects=tuple(tuple(map(float, row)) for row in effects)
    )


def best_penalty(groups: Sequence[Group]) -> float:
    """The penalty with the smallest error of networks that are left out, one number of each group at a time."""

    def error(penalty: float) -> float:
        total = 0.0
        for network in range(max(len(group.targets) for group in groups)):
            weights = _ridge([group.without(network) for group in groups], penalty)
            for points, targets in (group.centred() for group in groups if network < len(group.targets)):
                total += float((points[network] @ weights - targets[network]) ** 2)
        return total

    return min(PENALTIES, key=error)


def _ridge(groups: Sequence[Group], penalty: float) -> Matrix:
    parts = [group.centred() for group in groups]
    points, targets = np.vstack([p for p, _ in parts]), np.concatenate([t for _, t in parts])
    scale = np.maximum(points.std(axis=0), 1e-9)
    scaled = points / scale
    return np.asarray(
        np.linalg.solve(scaled.T @ scaled + penalty * np.eye(scaled.shape[1]), scaled.T @ targets) / scale
    )


def rank_correlation(first: Iterable[Any], second: Iterable[Any]) -> float:
    """Spearman's rank correlation; 0 if either is constant."""
    a, b = (rankdata(np.asarray(list(values), dtype=float)) for values in (first, second))
    return 0.0 if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])
