"""ROC and precision-recall curves of one class against the rest, with bands from a bootstrap of groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.bootstrap import MAX_NUMBERS, draw_counts

BAND_GRID = np.linspace(0, 1, 201)
"""The x values at which a band is computed."""
Floats = NDArray[np.float64]
CurvePoints = tuple[Floats, Floats, float]
"""Points x (ascending) and y of a curve, and the area under it."""
Trace = Callable[[Floats, Floats], CurvePoints]
"""Traces a curve from the numbers of true and of false positives (M,) after each distinct score."""


@dataclass(frozen=True)
class RocCurve:
    """A curve with its area; between points it is straight, or `stepped`.

    `low` and `high` are its pointwise 95 % band at `BAND_GRID`, if it has one.
    """

    x: Floats
    y: Floats
    area: float
    stepped: bool
    low: Floats | None = None
    high: Floats | None = None


def curve(trace: Trace, truth: NDArray[np.bool_], score: Floats, groups: NDArray[np.str_] | None = None) -> RocCurve:
    """The curve of scores (N,) for `truth` (N,), which must have both values; with a band if `groups` (N,) are given.

    The band is a bootstrap of whole groups, without draws in which all images have the same truth.
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    truth, stepped = truth[order], trace is precision_recall
    x, y, area = trace(truth.cumsum()[last].astype(float), (~truth).cumsum()[last].astype(float))
    if groups is None:
        return RocCurve(x, y, area, stepped)
    names, codes = np.unique(groups[order], return_inverse=True)
    heights = []
    for times in draw_counts(len(names), max(1, MAX_NUMBERS // len(order))):
        weights = times[:, codes]
        true, false = ((weights * mask).cumsum(axis=1)[:, last] for mask in (truth, ~truth))
        for draw in np.flatnonzero((true[:, -1] > 0) & (false[:, -1] > 0)):
            heights.append(_heights(*trace(true[draw], false[draw])[:2], stepped=stepped))
    low, high = np.percentile(heights, (2.5, 97.5), axis=0)
    return RocCurve(x, y, area, stepped, low, high)


def roc(true: Floats, false: Floats) -> CurvePoints:
    """False positive rate (x) and sensitivity (y), from numbers of true and false positives (M,)."""
    x, y = (np.concatenate([[0.0], counts / counts[-1]]) for counts in (false, true))
    return x, y, float(np.trapezoid(y, x))


def precision_recall(true: Floats, false: Floats) -> CurvePoints:
    """Recall (x) and precision (y); the area is the average precision, which does not interpolate between points."""
    some = true + false > 0
    recall, precision = true[some] / true[-1], true[some] / (true[some] + false[some])
    x, y = np.append(0.0, recall), np.append(precision[0], precision)
    return x, y, float(np.sum(np.diff(x) * precision))


def _heights(x: Floats, y: Floats, *, stepped: bool) -> Floats:
    """The y values of a curve at `BAND_GRID`."""
    return y[np.searchsorted(x, BAND_GRID - 1e-12)] if stepped else np.interp(BAND_GRID, x, y)
