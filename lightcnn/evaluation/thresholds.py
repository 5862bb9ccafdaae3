"""Thresholds on the probability of the second of two classes, chosen on the validation set, used on the test set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TARGET_RATES = (0.90, 0.95)
"""Specificities and sensitivities for which thresholds are chosen."""


def best_threshold(labels: NDArray[np.int64], positive: NDArray[np.float64]) -> float:
    """The threshold with the highest balanced accuracy, for labels (N,) and probabilities (N,) of the second class.

    Candidates are 0.5 and the midpoints between neighbouring probabilities; of equally good ones, the one closest to
    0.5 is chosen. It is 0.5 if a class is missing.
    """
    if len(np.unique(labels)) < 2:
        return 0.5
    values = np.unique(positive)
    candidates = np.clip(np.append((values[1:] + values[:-1]) / 2, 0.5), 1e-6, 1 - 1e-6)
    # As in `decide`: if both probabilities are 0.5, the first class is predicted.
    bounds = np.where(candidates == 0.5, np.nextafter(0.5, 1), candidates)
    by_class = [np.sort(positive[labels == label]) for label in (0, 1)]
    specificity, missed = (np.searchsorted(values, bounds, side="left") / len(values) for values in by_class)
    balanced = np.round((specificity + 1 - missed) / 2, 12)
    order = np.lexsort((np.abs(candidates - 0.5), -balanced))
    return float(candidates[order[0]])


def operating_points(labels: NDArray[np.int64], positive: NDArray[np.float64]) -> dict[str, dict[str, float | None]]:
    """The thresholds of `at_specificity` and `at_sensitivity`; `positive` (N,) are probabilities of the second class.

    Of all thresholds with at least that specificity, the one with the highest sensitivity, and vice versa. From the
    threshold on, an image is predicted as the second class. Thresholds are None if a class is missing.
    """
    if len(np.unique(labels)) < 2:
        none = {f"{target:.2f}": None for target in TARGET_RATES}
        return {"at_specificity": dict(none), "at_sensitivity": dict(none)}
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
