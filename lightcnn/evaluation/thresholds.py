"""Thresholds on probabilities: of the second of two classes, chosen on the validation set, or of any prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.intervals import wilson

TARGET_RATES = (0.90, 0.95)
"""Specificities and sensitivities for which thresholds are chosen."""
STEPS = (0.01, 0.02, *(step / 20 for step in range(1, 20)), 0.98, 0.99)
"""Thresholds whose sensitivity and specificity reports state, whatever the validation set is."""


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
    """The thresholds of `at_specificity`, `at_sensitivity` and `at_threshold`, by their targets.

    `positive` (N,) are probabilities of the second class. Of all thresholds with at least that specificity, the one
    with the highest sensitivity is chosen, and vice versa; those are None if a class is missing. `STEPS` are not
    chosen. From the threshold on, an image is predicted as the second class.
    """
    steps: dict[str, dict[str, float | None]] = {"at_threshold": {f"{step:.2f}": step for step in STEPS}}
    if len(np.unique(labels)) < 2:
        none = {f"{target:.2f}": None for target in TARGET_RATES}
        return {"at_specificity": dict(none), "at_sensitivity": dict(none), **steps}
    values = np.unique(positive)
    bounds = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [np.nextafter(max(1.0, values[-1]), 2)]])
    first, second = (np.sort(positive[labels == label]) for label in (0, 1))
    specificity = np.searchsorted(first, bounds, side="left") / len(first)
    sensitivity = 1 - np.searchsorted(second, bounds, side="left") / len(second)
    slack = 1e-12
    return {
        "at_specificity": {f"{t:.2f}": float(bounds[specificity >= t - slack].min()) for t in TARGET_RATES},
        "at_sensitivity": {f"{t:.2f}": float(bounds[sensitivity >= t - slack].max()) for t in TARGET_RATES},
        **steps,
    }


def abstentions(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], groups: NDArray[np.str_]
) -> list[dict[str, Any]]:
    """What remains if images below a probability are left undecided, for labels (N,) and probabilities (N, K).

    Each of `STEPS` has the `coverage`, the share of images that are decided, and their `accuracy`. The 95 % intervals
    are Wilson's on the number of groups (N,).
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return [
        {
            "threshold": step,
            "coverage": _share(confidence >= step, groups),
            "accuracy": _share(correct[confidence >= step], groups[confidence >= step]),
        }
        for step in STEPS
    ]


def _share(chosen: NDArray[np.bool_], groups: NDArray[np.str_]) -> dict[str, Any]:
    """A share of images as a score of report.json."""
    if not len(chosen):
        undefined = "no image has a prediction with this probability"
        return {"value": None, "low": None, "high": None, "interval": None, "undefined": undefined}
    count = len(np.unique(groups))
    low, high = wilson(float(chosen.mean()) * count, count)
    return {"value": float(chosen.mean()), "low": low, "high": high, "interval": f"Wilson on {count:,} groups"}
