"""Temperature scaling (Guo et al., arXiv:1706.04599): logits are divided by a number chosen on the validation set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.intervals import wilson

BINS = 15
"""Number of bins of confidence in the expected calibration error."""
LOWEST, HIGHEST = 0.05, 20.0
MIN_GROUPS = 10
"""Minimum number of groups in the validation set; with fewer, the lowest log loss is due to chance."""


@dataclass(frozen=True)
class Temperature:
    """The temperature, and how it was chosen."""

    value: float
    rule: str


def apply_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities (N, classes) after dividing their logits by a temperature."""
    if temperature == 1:
        return probabilities
    from scipy.special import softmax

    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) / temperature
    return np.asarray(softmax(logits, axis=1))


def cross_entropy(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Mean negative log of the labels' probabilities, which are at least 1e-12 here; `weights` (N,) are of images."""
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    return float(losses.mean() if weights is None else np.average(losses, weights=weights))


def calibration_error(labels: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = BINS) -> float:
    """Expected calibration error: mean |accuracy - confidence| over bins of equal width (arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(correct[bin_of == b].sum() - confidence[bin_of == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(labels))


class ConfidenceBin(NamedTuple):
    """The images whose predicted class has a probability from `start` on: mean probability, and share of correct ones.

    `low` and `high` are the 95 % interval of the accuracy.
    """

    start: float
    images: int
    confidence: float
    accuracy: float
    low: float
    high: float


def confidence_bins(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], groups: NDArray[np.str_]
) -> list[ConfidenceBin]:
    """The bins of `calibration_error` that have images. Intervals are Wilson's on the number of groups (N,)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        accuracy, count = float(correct[inside].mean()), len(np.unique(groups[inside]))
        ends = wilson(accuracy * count, count)
        mean = float(confidence[inside].mean())
        bins.append(ConfidenceBin(float(place / BINS), int(inside.sum()), mean, accuracy, *ends))
    return bins


def fit_temperature(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    groups: NDArray[np.str_] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Temperature:
    """The temperature with the lowest log loss, for labels (N,) and uncalibrated probabilities (N, classes).

    `weights` (N,) are those of the images in the log loss. The temperature is 1 if there are too few groups, or if all
    images are classified correctly: a lower temperature then always has a lower log loss.
    """
    from scipy.optimize import minimize_scalar

    known = len(labels) if groups is None else len(np.unique(groups))
    if known < MIN_GROUPS:
        return Temperature(1.0, f"left at 1: the validation set has fewer than {MIN_GROUPS} groups")
    if (probabilities.argmax(axis=1) == labels).all():
        return Temperature(
            1.0, "left at 1: all validation images are classified correctly, so the temperature is undetermined"
        )
    minimum = minimize_scalar(
        lambda power: cross_entropy(labels, apply_temperature(probabilities, float(np.exp(power))), weights),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    if minimum.fun >= cross_entropy(labels, probabilities, weights):
        return Temperature(1.0, "left at 1: it has the lowest log loss on the validation set")
    return Temperature(
        float(np.exp(minimum.x)), f"lowest log loss on the validation set, from {LOWEST:g} to {HIGHEST:g}"
    )
