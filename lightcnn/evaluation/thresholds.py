"""Where the second of two classes is told from the first: chosen on the validation side, used on the test side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TARGET_RATES = (0.90, 0.95)


def best_threshold(labels: NDArray[np.int64], positive: NDArray[np.float64]) -> float:
    """Where the second of two classes is told from the first with the highest balanced accuracy.

    Candidates are 0.5 and the middles between neighbouring probabilities; the one nearest to 0.5 wins among equals.
    Where one class is missing, 0.5.
    """
    if len(np.unique(labels)) < 2:
        return 0.5
    values = np.unique(positive)
    candidates = np.clip(np.append((values[1:] + values[:-1]) / 2, 0.5), 1e-6, 1 - 1e-6)
    # As `decide` does: at 0.5 itself the first of two equals wins.
    bounds = np.where(candidates == 0.5, np.nextafter(0.5, 1), candidates)
    below = [np.sort(positive[labels == label]) for label in (0, 1)]
    false, missed = (np.searchsorted(side, bounds, side="left") / len(side) for side in below)
    balanced = np.round((false + 1 - missed) / 2, 12)
    order = np.lexsort((np.abs(candidates - 0.5), -balanced))
    return float(candidates[order[0]])


def operating_points(labels: NDArray[np.int64], positive: NDArray[np.float64]) -> dict[str, dict[str, float | None]]:
    """The thresholds of `at_specificity` and `at_sensitivity` on a side: labels (N,), probabilities (N,) of the second.

    Of all with at least that specificity the one with the highest sensitivity, and the other way round; the image is
    told to be of the second class from the threshold on. None where a class is missing.
    """
    if len(np.unique(labels)) < 2:
        nothing = {f"{target:.2f}": None for target in TARGET_RATES}
        return {"at_specificity": dict(nothing), "at_sensitivity": dict(nothing)}
    values = np.unique(positive)
    bounds = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [np.nextafter(max(1.0, values[-1]), 2)]])
    first, second = (np.sort(positive[labels == label]) for label in (0, 1))
    specificity = np.searchsorted(first, bounds, side="left") / len(first)
    sensitivity = 1 - np.searchsorted(second, bounds, side="left") / len(second)
    slack = 1e-12
    return {
        "at_specificity": {f"{t:.2f}": float(bounds[specificity >= t - slack].min()) for t in TARGET_RATES},
        "at_sensitivity": {f"{t:.2f}": float(bounds[sensitivity >= t - slack].max()) for t in TARGET_RATES},
    }
