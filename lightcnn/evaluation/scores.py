"""Scores with intervals. scikit-learn does the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.predict import decide

Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    share = correct / total
    centre = share + Z**2 / (2 * total)
    spread = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def scores(labels: NDArray[np.int64], probabilities: NDArray[np.float64], *, threshold: float = 0.5) -> dict[str, Any]:
    """The contract's metrics of one side: labels (N,), probabilities (N, classes); `threshold` as in `decide`.

    Accuracy carries its 95 % Wilson interval, which takes every image as independent. Sensitivity and specificity are
    those of the second of two classes, and the mean over one-against-rest for more. What is undefined, because
    a class is missing, is None.
    """
    from sklearn import metrics

    classes = list(range(probabilities.shape[1]))
    predicted = decide(probabilities, threshold)
    confusion = metrics.confusion_matrix(labels, predicted, labels=classes)
    correct = int(np.trace(confusion))
    low, high = wilson(correct, len(labels))
    sensitivity, specificity = _rates(confusion)
    chosen = [1] if len(classes) == 2 else [c for c in classes if confusion[c].sum()]
    return {
        "accuracy": {"value": correct / len(labels), "low": low, "high": high},
        "balanced_accuracy": _mean(sensitivity),
        "f1": float(metrics.f1_score(labels, predicted, labels=chosen, average="macro", zero_division=0)),
        "auc": _auc(labels, probabilities),
        "sensitivity": _mean(sensitivity[chosen]),
        "specificity": _mean(specificity[chosen]),
        "ece": calibration_error(labels, probabilities),
        "confusion": confusion.tolist(),
    }


def calibration_error(labels: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = 15) -> float:
    """Expected calibration error: |accuracy - confidence| over equal bins of confidence (arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(correct[bin_of == b].sum() - confidence[bin_of == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(labels))


def repeated(accuracies: Sequence[float], total: int) -> dict[str, Any]:
    """The accuracy of trainings on one test side of `total` images: mean, sd (None for one), Wilson interval."""
    mean = float(np.mean(accuracies))
    low, high = wilson(round(mean * total), total)
    deviation = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    return {"mean": mean, "sd": deviation, "values": list(accuracies), "low": low, "high": high}


def _mean(rates: NDArray[np.float64]) -> float | None:
    """The mean of the rates that are defined; None where none is."""
    defined = rates[~np.isnan(rates)]
    return float(defined.mean()) if len(defined) else None


def _rates(confusion: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity and specificity of every class against the rest; NaN where undefined."""
    hits = np.diag(confusion).astype(float)
    actual, predicted, total = confusion.sum(axis=1), confusion.sum(axis=0), confusion.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits / actual, (total - actual - predicted + hits) / (total - actual)


def _auc(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    """Area under the ROC curve, mean of one-against-rest for more than two classes."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < probabilities.shape[1]:
        return None
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr", labels=range(probabilities.shape[1])))
