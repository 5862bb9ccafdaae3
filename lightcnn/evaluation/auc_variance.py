"""Areas under the ROC curves of two sets of predictions for the same images, and the variance of their difference.

DeLong's structural components (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) are computed from ranks (Sun and
Xu, IEEE Signal Processing Letters 21, 2014), and summed within groups if images are not independent (Obuchowski,
Biometrics 53, 1997). Since they are means over images, they can be averaged over seeds, folds and classes.
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
    """An AUC, and the contribution of each image to it: components (N,) of the positives and the negatives."""

    value: float
    components: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeanArea(Area):
    """The mean AUC of S seeds, with the values it is computed from: probabilities (S, N, K), folds (S, N)."""

    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]


def area(positive: NDArray[np.bool_], scores: NDArray[np.float64], folds: NDArray[np.int64]) -> Area | None:
    """The share of pairs of a positive and a negative image that `scores` (N,) rank correctly; None without pairs.

    Only images of the same fold are compared: the scores of other `folds` (N,) are from other networks.
    """
    pairs = np.zeros(len(scores))
    for positives, negatives in _positives_and_negatives(positive, folds):
        pairs[positives], pairs[negatives] = len(negatives), len(positives)
    total = float(pairs[positive].sum())
    if not total:
        return None
    correct = _correct_pairs(positive, scores, scores, folds)
    value = float(correct[positive].sum()) / total
    return Area(value, (correct - value * pairs) / total)


def mean_area(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], folds: NDArray[np.int64]
) -> MeanArea | None:
    """The mean AUC over S seeds, for labels (N,), probabilities (S, N, K) and folds (S, N); None if a class is missing.

    It is the AUC of the second of two classes; for more classes, the mean of each against the rest.
    """
    areas = [
        area(labels == label, scores[:, label], fold)
        for scores, fold in zip(probabilities, folds, strict=True)
        for label in _classes(probabilities)
    ]
    defined = [each for each in areas if each is not None]
    if len(defined) < len(areas):
        return None
    components = np.mean([each.components for each in defined], axis=0)
    return MeanArea(float(np.mean([each.value for each in defined])), components, probabilities, folds)


def area_difference(
    a: MeanArea, b: MeanArea, labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int = 0
) -> tuple[Estimate, Test]:
    """a - b with its interval and test: DeLong's if every image is its own group, else Obuchowski's with Student's t.

    If the difference has no variance (each area is 0, 0.5 or 1), or if its variance is unknown because a class is in
    one group only, there is no interval, and the test uses sign flips, drawn with `seed` if there are many groups.
    """
    difference, components = a.value - b.value, a.components - b.components
    independent = groups.max() + 1 == len(groups)
    name = "DeLong" if independent else "DeLong, clustered"
    smallest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    variance = 0.0 if smallest < 2 else _variance(components, labels, groups)
    if variance < 1e-24:
        test = flip_signs(np.bincount(groups, weights=_exchange_effects(a, b, labels)), seed)
        return Estimate(difference, None, None, 0.0, math.inf), Test(test.p, f"no observable variance: {test.name}")
    error = math.sqrt(variance)
    degrees = math.inf if independent else smallest - 1
    distribution = stats.norm if independent else stats.t(degrees)
    margin = (Z if independent else float(distribution.ppf(1 - ALPHA / 2))) * error
    estimate = Estimate(difference, max(-1.0, difference - margin), min(1.0, difference + margin), error, degrees)
    return estimate, Test(float(2 * distribution.sf(abs(difference) / error)), name)


def _classes(probabilities: NDArray[np.float64]) -> range:
    """The classes of probabilities (S, N, K) whose areas are averaged."""
    count = probabilities.shape[2]
    return range(1, 2) if count == 2 else range(count)


def _positives_and_negatives(
    positive: NDArray[np.bool_], folds: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Indices of the positive and of the negative images of each fold that has both."""
    for fold in np.unique(folds):
        positives, negatives = (np.flatnonzero((folds == fold) & (positive == truth)) for truth in (True, False))
        if len(positives) and len(negatives):
            yield positives, negatives


def _correct_pairs(
    positive: NDArray[np.bool_], of_positive: NDArray[np.float64], of_negative: NDArray[np.float64],
    folds: NDArray[np.int64],
) -> NDArray[np.float64]:  # fmt: skip
    """The number of correctly ranked pairs of a fold that each image is part of (N,); a tie counts half.

    Scores of positive images are from `of_positive` (N,), those of negative images from `of_negative` (N,).
    """
    correct = np.zeros(len(folds))
    for positives, negatives in _positives_and_negatives(positive, folds):
        correct[positives] = _count_below(of_positive[positives], of_negative[negatives])
        correct[negatives] = len(positives) - _count_below(of_negative[negatives], of_positive[positives])
    return correct


def _exchange_effects(a: MeanArea, b: MeanArea, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The contribution of each image (N,) to a - b, whose sign flips if a and b exchange their ranks of the image.

    Let e be 1 for an image, and -1 if it is exchanged. A pair of a positive i and a negative j is ranked by a (both 1),
    by b (both -1), or each image by another run, so the difference is the sum over pairs of
    (e_i + e_j)/2 (aa - bb) + (e_i - e_j)/2 (ab - ba), where ab is whether a's rank of i is above b's rank of j: it is
    linear in e. Seeds are exchanged in their order, starting from the first again if one run has fewer.
    """
    effects = [
        _exchange_effects_of_class(labels == label, *_ranks(a, label), *_ranks(b, label))
        for label in _classes(a.probabilities)
    ]
    return np.asarray(np.mean(effects, axis=0))


def _exchange_effects_of_class(
    positive: NDArray[np.bool_],
    a: NDArray[np.float64], folds_a: NDArray[np.int64], b: NDArray[np.float64], folds_b: NDArray[np.int64],
) -> NDArray[np.float64]:  # fmt: skip
    """The contributions (N,) for one class against the rest, from ranks (S, N)."""
    of_a, of_b = (
        np.mean(
            [_pair_shares(positive, of_seed, of_seed, fold) for of_seed, fold in zip(ranks, folds, strict=True)], axis=0
        )
        for ranks, folds in ((a, folds_a), (b, folds_b))
    )
    crossed = []
    for seed in range(max(len(a), len(b))):
        i, j = seed % len(a), seed % len(b)
        folds = np.unique(np.stack([folds_a[i], folds_b[j]]), axis=1, return_inverse=True)[1].ravel()
        crossed.append(_pair_shares(positive, a[i], b[j], folds) - _pair_shares(positive, b[j], a[i], folds))
    return np.asarray((of_a - of_b + np.where(positive, 1, -1) * np.mean(crossed, axis=0)) / 2)


def _pair_shares(
    positive: NDArray[np.bool_], of_positive: NDArray[np.float64], of_negative: NDArray[np.float64],
    folds: NDArray[np.int64],
) -> NDArray[np.float64]:  # fmt: skip
    """`_correct_pairs` as shares (N,) of all pairs."""
    pairs = sum(len(positives) * len(negatives) for positives, negatives in _positives_and_negatives(positive, folds))
    return _correct_pairs(positive, of_positive, of_negative, folds) / max(1, pairs)


def _ranks(run: MeanArea, label: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mid-ranks (S, N) of a class's probabilities within each fold, from 0 to 1, and the folds (S, N)."""
    ranks = np.zeros(run.folds.shape)
    for row, scores, folds in zip(ranks, run.probabilities[..., label], run.folds, strict=True):
        for fold in np.unique(folds):
            in_fold = folds == fold
            row[in_fold] = _count_below(scores[in_fold], scores[in_fold]) / in_fold.sum()
    return ranks, run.folds


def _count_below(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of `others` are below each value; equal ones count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def _variance(components: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    """Obuchowski's variance; it is DeLong's if every image is its own group.

    With I groups, of which I_c contain class c: I_c / (I_c - 1) times the squares of the sums over groups within a
    class, and I / (I - 1) times the products of those of two classes. The mean of each class is subtracted.
    """
    classes = np.unique(labels)
    total = int(groups.max()) + 1
    between = total / (total - 1)
    all_sums, variance = np.zeros(total), 0.0
    for label in classes:
        of_class = labels == label
        group_count = len(np.unique(groups[of_class]))
        part = components[of_class]
        sums = np.bincount(groups[of_class], weights=part - part.mean(), minlength=total)
        all_sums += sums
        variance += (group_count / (group_count - 1) - between) * float(sums @ sums)
    return variance + between * float(all_sums @ all_sums)
