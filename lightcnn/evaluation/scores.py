"""Scores with intervals. scikit-learn does the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.intervals import accuracy_interval, wilson
from lightcnn.predict import decide


def scores(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    *,
    groups: NDArray[np.str_] | None = None,
    threshold: float = 0.5,
    predicted: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """The contract's metrics of one side: labels (N,), probabilities (N, classes); `threshold` as in `decide`.

    `predicted` (N,) are classes that were decided elsewhere, as where networks with several thresholds are pooled.

    Accuracy carries its 95 % interval (`accuracy_interval`; without `groups` every image counts as independent). The
    second of two classes is predicted from `threshold` on. Sensitivity and specificity are those of the second of two
    classes, and the mean over one-against-rest for more. What is undefined, because a class is missing, is None.
    """
    from sklearn import metrics

    classes = list(range(probabilities.shape[1]))
    predicted = decide(probabilities, threshold) if predicted is None else predicted
    confusion = metrics.confusion_matrix(labels, predicted, labels=classes)
    right = predicted == labels
    interval = accuracy_interval(right, np.arange(len(labels)).astype(str) if groups is None else groups)
    sensitivity, specificity = _rates(confusion)
    chosen = [1] if len(classes) == 2 else [c for c in classes if confusion[c].sum()]
    return {
        "accuracy": {
            "value": int(right.sum()) / len(labels),
            "low": interval.low,
            "high": interval.high,
            "interval": interval.method,
        },
        "balanced_accuracy": _mean(sensitivity),
        "f1": float(metrics.f1_score(labels, predicted, labels=chosen, average="macro", zero_division=0)),
        "auc": _auc(labels, probabilities),
        "sensitivity": _mean(sensitivity[chosen]),
        "specificity": _mean(specificity[chosen]),
        "ece": calibration_error(labels, probabilities),
        "confusion": confusion.tolist(),
    }


def cross_entropy(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Mean of -log of the labels' probabilities, which count as at least 1e-12."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


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
