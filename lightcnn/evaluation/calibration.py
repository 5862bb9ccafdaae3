"""Temperature scaling (Guo et al., arXiv:1706.04599): logits are divided by one number, chosen on validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.05, 20.0
MIN_GROUPS = 10
"""Groups of the validation side, at least: of fewer, the lowest log loss is chance."""


@dataclass(frozen=True)
class Temperature:
    """The number, and how it was chosen."""

    value: float
    rule: str


def apply_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """What probabilities (N, classes) are where their logits are divided by a temperature."""
    if temperature == 1:
        return probabilities
    from scipy.special import softmax

    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) / temperature
    return np.asarray(softmax(logits, axis=1))


def cross_entropy(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Mean of -log of the labels' probabilities, which count as at least 1e-12."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def calibration_error(labels: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = 15) -> float:
    """Expected calibration error: |accuracy - confidence| over equal bins of confidence (arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(correct[bin_of == b].sum() - confidence[bin_of == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(labels))


def fit_temperature(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], groups: NDArray[np.str_] | None = None
) -> Temperature:
    """The temperature with the lowest log loss on a side, for labels (N,) and probabilities (N, classes) at 1.

    It stays 1 where the side has too few groups, and where every image is told right: log loss then falls for ever
    with the temperature.
    """
    from scipy.optimize import minimize_scalar

    known = len(labels) if groups is None else len(np.unique(groups))
    if known < MIN_GROUPS:
        return Temperature(1.0, f"kept at 1: the validation side has fewer than {MIN_GROUPS} groups")
    if (probabilities.argmax(axis=1) == labels).all():
        return Temperature(1.0, "kept at 1: every validation image is told right, so that none is the best")
    found = minimize_scalar(
        lambda power: cross_entropy(labels, apply_temperature(probabilities, float(np.exp(power)))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    if found.fun >= cross_entropy(labels, probabilities):
        return Temperature(1.0, "kept at 1: it has the lowest log loss on the validation side")
    return Temperature(
        float(np.exp(found.x)), f"lowest log loss on the validation side, from {LOWEST:g} to {HIGHEST:g}"
    )
