"""Areas under ROC curves of two sets of answers about the same images, and the variance of their difference.

DeLong's structural components (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) from ranks (Sun and Xu, IEEE
Signal Processing Letters 21, 2014); summed within groups where images are not independent (Obuchowski, Biometrics 53,
1997). Being means of images, components also average over seeds, folds and classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lightcnn.evaluation.intervals import Z
from lightcnn.evaluation.paired_tests import ALPHA, Estimate, Test, flip_signs


@dataclass(frozen=True)
class Area:
    """An AUC, and what every image of either kind adds to it: components (N,) of the positives and the negatives."""

    value: float
    components: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeanArea(Area):
    """The mean AUC of S seeds, with what it was made of: probabilities (S, N, C), folds (S, N)."""

    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]


def area(positive: NDArray[np.bool_], scores: NDArray[np.float64], folds: NDArray[np.int64]) -> Area | None:
    """The share of pairs of a positive and a negative image of one fold that `scores` (N,) put in the right order.

    Scores of different networks, those of other `folds` (N,), are not held against each other. None where there is no
    such pair.
    """
    others = np.zeros(len(scores))
    for yes, no in _sides(positive, folds):
        others[yes], others[no] = len(no), len(yes)
    total = float(others[positive].sum())
    if not total:
        return None
    won = _won(positive, scores, scores, folds)
    value = float(won[positive].sum()) / total
    return Area(value, (won - value * others) / total)


def mean_area(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], folds: NDArray[np.int64]
) -> MeanArea | None:
    """The mean AUC over S seeds: labels (N,), probabilities (S, N, C), folds (S, N).

    Of the second of two classes; for more, the mean of each against the rest. None where a class is missing.
    """
    areas = [
        area(labels == label, of_seed[:, label], fold)
        for of_seed, fold in zip(probabilities, folds, strict=True)
        for label in _classes(probabilities)
    ]
    found = [one for one in areas if one is not None]
    if len(found) < len(areas):
        return None
    components = np.mean([one.components for one in found], axis=0)
    return MeanArea(float(np.mean([one.value for one in found])), components, probabilities, folds)


def area_difference(
    a: MeanArea, b: MeanArea, labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int = 0
) -> tuple[Estimate, Test]:
    """a - b with its interval and test. DeLong's where every image is its own group, else Obuchowski's with t.

    Where the difference has no variance (each area is 0, 0.5 or 1), or none that could be known because a class stands
    in one group only, the interval is unknown and the test is by sign flips, drawn with `seed` where there are many.
    """
    difference, components = a.value - b.value, a.components - b.components
    alone = groups.max() + 1 == len(groups)
    name = "DeLong" if alone else "DeLong, clustered"
    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    variance = 0.0 if fewest < 2 else _variance(components, labels, groups)
    if variance < 1e-24:
        test = flip_signs(np.bincount(groups, weights=_exchanged(a, b, labels)), seed)
        return Estimate(difference, None, None, 0.0, math.inf), Test(test.p, f"no variance to be seen: {test.name}")
    error = math.sqrt(variance)
    degrees = math.inf if alone else fewest - 1
    law = stats.norm if alone else stats.t(degrees)
    reach = (Z if alone else float(law.ppf(1 - ALPHA / 2))) * error
    estimate = Estimate(difference, max(-1.0, difference - reach), min(1.0, difference + reach), error, degrees)
    return estimate, Test(float(2 * law.sf(abs(difference) / error)), name)


def _classes(probabilities: NDArray[np.float64]) -> range:
    """The classes (S, N, C) whose areas are averaged."""
    count = probabilities.shape[2]
    return range(1, 2) if count == 2 else range(count)


def _sides(
    positive: NDArray[np.bool_], folds: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Places of the positive and the negative images of each fold that has both."""
    for fold in np.unique(folds):
        yes, no = (np.flatnonzero((folds == fold) & (positive == side)) for side in (True, False))
        if len(yes) and len(no):
            yield yes, no


def _won(
    positive: NDArray[np.bool_], of_positive: NDArray[np.float64], of_negative: NDArray[np.float64],
    folds: NDArray[np.int64],
) -> NDArray[np.float64]:  # fmt: skip
    """How many pairs of one fold stand right that each image is in (N,); an equal pair counts half.

    A positive image has its score from `of_positive` (N,), a negative one from `of_negative` (N,).
    """
    won = np.zeros(len(folds))
    for yes, no in _sides(positive, folds):
        won[yes] = _below(of_positive[yes], of_negative[no])
        won[no] = len(yes) - _below(of_negative[no], of_positive[yes])
    return won


def _exchanged(a: MeanArea, b: MeanArea, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each image adds (N,) to a - b, and takes away once the two have exchanged their ranks of it.

    Let e be 1 for an image, -1 once exchanged. A pair of a positive i and a negative j is ranked by a (both 1), by b
    (both -1), or each image by another, so the difference is the sum over pairs of (e_i + e_j)/2 (aa - bb) + (e_i -
    e_j)/2 (ab - ba), where ab is whether a's rank of i is above b's of j: it is linear in e. Seeds are exchanged in
    their order, from the first again where one run has fewer.
    """
    found = [
        _exchanged_of(labels == label, *_ranked(a, label), *_ranked(b, label)) for label in _classes(a.probabilities)
    ]
    return np.asarray(np.mean(found, axis=0))


def _exchanged_of(
    positive: NDArray[np.bool_],
    a: NDArray[np.float64], folds_a: NDArray[np.int64], b: NDArray[np.float64], folds_b: NDArray[np.int64],
) -> NDArray[np.float64]:  # fmt: skip
    """The same (N,) of one class against the rest, from ranks (S, N)."""
    of_a, of_b = (
        np.mean([_shares(positive, one, one, fold) for one, fold in zip(ranks, folds, strict=True)], axis=0)
        for ranks, folds in ((a, folds_a), (b, folds_b))
    )
    crossed = []
    for seed in range(max(len(a), len(b))):
        i, j = seed % len(a), seed % len(b)
        folds = np.unique(np.stack([folds_a[i], folds_b[j]]), axis=1, return_inverse=True)[1].ravel()
        crossed.append(_shares(positive, a[i], b[j], folds) - _shares(positive, b[j], a[i], folds))
    return np.asarray((of_a - of_b + np.where(positive, 1, -1) * np.mean(crossed, axis=0)) / 2)


def _shares(
    positive: NDArray[np.bool_], of_positive: NDArray[np.float64], of_negative: NDArray[np.float64],
    folds: NDArray[np.int64],
) -> NDArray[np.float64]:  # fmt: skip
    """`_won` as shares (N,) of all pairs."""
    pairs = sum(len(yes) * len(no) for yes, no in _sides(positive, folds))
    return _won(positive, of_positive, of_negative, folds) / max(1, pairs)


def _ranked(run: MeanArea, label: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Middle ranks (S, N) of a class's probabilities within each fold, from 0 to 1, and the folds (S, N)."""
    ranks = np.zeros(run.folds.shape)
    for row, scores, folds in zip(ranks, run.probabilities[..., label], run.folds, strict=True):
        for fold in np.unique(folds):
            mine = folds == fold
            row[mine] = _below(scores[mine], scores[mine]) / mine.sum()
    return ranks, run.folds


def _below(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of `others` each value is above; equal ones count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def _variance(components: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    """Obuchowski's variance; DeLong's where every image is its own group.

    With I groups, of which I_c hold class c: I_c / (I_c - 1) times the squares of the sums over groups within a class,
    and I / (I - 1) times the products of those of two classes. Every class has its own mean.
    """
    classes = np.unique(labels)
    total = int(groups.max()) + 1
    between = total / (total - 1)
    whole, variance = np.zeros(total), 0.0
    for label in classes:
        mine = labels == label
        held = len(np.unique(groups[mine]))
        part = components[mine]
        sums = np.bincount(groups[mine], weights=part - part.mean(), minlength=total)
        whole += sums
        variance += (held / (held - 1) - between) * float(sums @ sums)
    return variance + between * float(whole @ whole)
