"""ROC and precision-recall curves of one class against the rest, and how far they would move on other groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.bootstrap import MAX_NUMBERS, draw_counts

BAND_GRID = np.linspace(0, 1, 201)
"""Where a band is known."""
Floats = NDArray[np.float64]
CurvePoints = tuple[Floats, Floats, float]
"""Points x and y of a curve, x ascending, and the area under it."""
Trace = Callable[[Floats, Floats], CurvePoints]


@dataclass(frozen=True)
class RocCurve:
    """A curve with its area: straight between points, or a step that holds to the next.

    `low` and `high` are its pointwise 95 % band over `GRID`.
    """

    x: Floats
    y: Floats
    area: float
    stepped: bool
    low: Floats | None = None
    high: Floats | None = None


def curve(trace: Trace, truth: NDArray[np.bool_], score: Floats, groups: NDArray[np.str_] | None = None) -> RocCurve:
    """The curve that `trace` draws of scores (N,) for `truth` (N,), which has both kinds; with a band by `groups`.

    The band is a bootstrap of whole groups; draws that lack one kind are left out of it.
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
        found, taken = ((weights * kind).cumsum(axis=1)[:, last] for kind in (truth, ~truth))
        for draw in np.flatnonzero((found[:, -1] > 0) & (taken[:, -1] > 0)):
            heights.append(_heights(*trace(found[draw], taken[draw])[:2], stepped=stepped))
    low, high = np.percentile(heights, (2.5, 97.5), axis=0)
    return RocCurve(x, y, area, stepped, low, high)


def roc(found: Floats, taken: Floats) -> CurvePoints:
    """Share of the others taken for it, share of the class found; from counts (M,) after each distinct score."""
    x, y = (np.concatenate([[0.0], counts / counts[-1]]) for counts in (taken, found))
    return x, y, float(np.trapezoid(y, x))


def precision_recall(found: Floats, taken: Floats) -> CurvePoints:
    """Recall and precision; the area is the average precision, in which nothing between two points is assumed."""
    some = found + taken > 0
    recall, precision = found[some] / found[-1], found[some] / (found[some] + taken[some])
    x, y = np.append(0.0, recall), np.append(precision[0], precision)
    return x, y, float(np.sum(np.diff(x) * precision))


def _heights(x: Floats, y: Floats, *, stepped: bool) -> Floats:
    """A curve over `GRID`."""
    return y[np.searchsorted(x, BAND_GRID - 1e-12)] if stepped else np.interp(BAND_GRID, x, y)
