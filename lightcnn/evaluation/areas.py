"""Areas under ROC curves of two sets of answers about the same images, and the variance of their difference.

DeLong's structural components (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) from ranks (Sun and Xu, IEEE
Signal Processing Letters 21, 2014); summed within groups where images are not independent (Obuchowski, Biometrics 53,
1997). Being means of images, components also average over seeds, folds and classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lightcnn.evaluation.intervals import Z
from lightcnn.evaluation.paired import ALPHA, Estimate, Test


@dataclass(frozen=True)
class Area:
    """An AUC, and what every image of either kind adds to it: components (N,) of the positives and the negatives."""

    value: float
    components: NDArray[np.float64]


def area(positive: NDArray[np.bool_], scores: NDArray[np.float64], folds: NDArray[np.int64]) -> Area | None:
    """The share of pairs of a positive and a negative image of one fold that `scores` (N,) put in the right order.

    `folds` (N,) number from 0: scores of different networks are not held against each other. None where there is no
    such pair.
    """
    total, right = 0, 0.0
    parts = []
    for fold in np.unique(folds):
        yes, no = (np.flatnonzero((folds == fold) & (positive == side)) for side in (True, False))
        if not len(yes) or not len(no):
            continue
        above = _below(scores[yes], scores[no])
        total += len(yes) * len(no)
        right += float(above.sum())
        parts.append((yes, above, len(no)))
        parts.append((no, len(yes) - _below(scores[no], scores[yes]), len(yes)))
    if not total:
        return None
    value = right / total
    components = np.zeros(len(scores))
    for places, wins, others in parts:
        components[places] = (wins - value * others) / total
    return Area(value, components)


def mean_area(labels: NDArray[np.int64], probabilities: NDArray[np.float64], folds: NDArray[np.int64]) -> Area | None:
    """The mean AUC over S seeds: labels (N,), probabilities (S, N, C), folds (S, N).

    Of the second of two classes; for more, the mean of each against the rest. None where a class is missing.
    """
    classes = [1] if probabilities.shape[2] == 2 else range(probabilities.shape[2])
    areas = [
        area(labels == label, of_seed[:, label], fold)
        for of_seed, fold in zip(probabilities, folds, strict=True)
        for label in classes
    ]
    found = [one for one in areas if one is not None]
    if len(found) < len(areas):
        return None
    return Area(float(np.mean([one.value for one in found])), np.mean([one.components for one in found], axis=0))


def area_difference(a: Area, b: Area, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[Estimate, Test]:
    """a - b with its interval and test. DeLong's where every image is its own group, else Obuchowski's with t.

    Where a class stands in one group only, or the difference has no variance (both areas are 1), the interval is
    unknown and p is 1.
    """
    difference, components = a.value - b.value, a.components - b.components
    alone = groups.max() + 1 == len(groups)
    name = "DeLong" if alone else "DeLong, clustered"
    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    variance = 0.0 if fewest < 2 else _delong(components, labels) if alone else _clustered(components, groups)
    if variance < 1e-24:
        return Estimate(difference, None, None, 0.0, math.inf), Test(1.0, 1.0, f"{name}: no variance to be seen")
    error = math.sqrt(variance)
    degrees = math.inf if alone else fewest - 1
    law = stats.norm if alone else stats.t(degrees)
    reach = (Z if alone else float(law.ppf(1 - ALPHA / 2))) * error
    estimate = Estimate(difference, max(-1.0, difference - reach), min(1.0, difference + reach), error, degrees)
    return estimate, Test(float(2 * law.sf(abs(difference) / error)), 0.0, name)


def _below(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of `others` each value is above; equal ones count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def _delong(components: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The variance of independent images: each class has its own mean, with Bessel's correction."""
    of_class = (components[labels == label] for label in np.unique(labels))
    return sum(len(part) * float(part.var(ddof=1)) for part in of_class)


def _clustered(components: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """The variance of sums over groups."""
    sums = np.bincount(groups, weights=components)
    return len(sums) / (len(sums) - 1) * float(sums @ sums)
