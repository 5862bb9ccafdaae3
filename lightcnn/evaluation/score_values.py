"""The values of all scores, by scikit-learn for the images as they are, and from sums for each draw of a bootstrap.

Also that of always predicting the largest class, with which accuracies are to be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.bootstrap import DRAWS, resample
from lightcnn.evaluation.labelled_predictions import LabelledPredictions, Numbers
from lightcnn.output.largest_class import KEY


def point_values(predictions: LabelledPredictions, *, with_areas: bool = True) -> dict[str, Any]:
    """Each score by scikit-learn: a number, or one per class (K,); NaN if it is undefined.

    Unless `with_areas`, the areas under curves, which take long for many classes, are NaN.
    """
    from sklearn import metrics

    labels, predicted, kinds = predictions.labels, predictions.predicted, range(len(predictions.classes))
    with np.errstate(invalid="ignore", divide="ignore"):
        tables = metrics.multilabel_confusion_matrix(labels, predicted, labels=kinds)
        specificity = tables[:, 0, 0] / tables[:, 0].sum(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=kinds, average=None, zero_division=np.nan
    )
    several = len(np.unique(labels)) > 1
    several_predicted = several and len(np.unique(predicted)) > 1
    areas = np.full((2, len(kinds)), np.nan)
    for c in kinds if with_areas else ():
        if 0 < (labels == c).sum() < len(labels):
            of_class = labels == c, predictions.probabilities[:, c]
            areas[:, c] = metrics.roc_auc_score(*of_class), metrics.average_precision_score(*of_class)
    brier, log_loss = (float(errors.mean()) for errors in predictions.errors)
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": np.nanmean(recall) if several else np.nan,
        "mcc": metrics.matthews_corrcoef(labels, predicted) if several_predicted else np.nan,
        "kappa": metrics.cohen_kappa_score(labels, predicted) if several else np.nan,
        "brier": brier,
        "log_loss": log_loss,
        "precision": precision,
        "sensitivity": recall,
        "specificity": specificity,
        "f1": np.where(np.isnan(recall), np.nan, f1),
        "auc": areas[0],
        "pr_auc": areas[1],
    }


def bootstrap_scores(
    predictions: LabelledPredictions,
    operating: Numbers,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    with_areas: bool = True,
) -> dict[str, Numbers]:
    """The same scores in each row of `resample`: (R,), or (R, K); NaN if undefined.

    `operating` (T,) are thresholds, whose sensitivity and specificity are in `at` (R, 2, T). Unless `with_areas`, the
    areas under curves, which take most of the time, are NaN.
    """
    kinds = len(predictions.classes)
    actual_class, predicted_class = (np.eye(kinds)[images] for images in (predictions.labels, predictions.predicted))
    above = predictions.probabilities[:, 1:2] >= operating
    correct_at = (above * actual_class[:, 1:2], ~above * actual_class[:, :1])
    columns = np.concatenate(
        [
            actual_class * predicted_class, actual_class, predicted_class,
            np.stack(predictions.errors, axis=1), *correct_at,
        ],
        axis=1,
    )  # fmt: skip
    curves = predictions.curves if with_areas else [None] * kinds
    sums, auc, pr_auc = resample(predictions.codes, columns, curves, seed=seed, draws=draws)
    hits, actual, predicted, errors, at = np.split(sums, np.cumsum([kinds, kinds, kinds, 2]), axis=1)
    total = actual.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            **_rates(hits, actual, predicted),
            **_agreement(hits, actual, predicted),
            "brier": errors[:, 0] / total,
            "log_loss": errors[:, 1] / total,
            "auc": auc,
            "pr_auc": pr_auc,
            "at": at.reshape(len(at), 2, len(operating)) / actual[:, 1::-1, None][:, :2],
        }


def over_classes(rates: Numbers) -> Any:
    """One number from those of all classes (..., K): of two classes the second one's, else the mean of defined ones."""
    if rates.shape[-1] == 2:
        return rates[..., 1]
    defined = ~np.isnan(rates)
    with np.errstate(invalid="ignore"):
        return np.where(defined, rates, 0).sum(axis=-1) / defined.sum(axis=-1)


def _rates(hits: Numbers, actual: Numbers, predicted: Numbers) -> dict[str, Numbers]:
    """Scores of each class against the rest, from sums (draws, K)."""
    others = actual.sum(axis=-1, keepdims=True) - actual
    return {
        "precision": hits / predicted,
        "sensitivity": hits / actual,
        "specificity": (others - predicted + hits) / others,
        "f1": np.where(actual > 0, 2 * hits / (actual + predicted), np.nan),
    }


def _agreement(hits: Numbers, actual: Numbers, predicted: Numbers) -> dict[str, Numbers]:
    """Scores of all classes together, from sums (draws, K). MCC as in Gorodkin, 2004; kappa as in Cohen, 1960."""
    total, correct = actual.sum(axis=-1), hits.sum(axis=-1)
    several = (actual > 0).sum(axis=-1) > 1
    chance = (actual * predicted).sum(axis=-1)
    spread = (total**2 - (actual**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
    recalls = np.where(actual > 0, hits / actual, 0).sum(axis=-1) / (actual > 0).sum(axis=-1)
    return {
        "accuracy": correct / total,
        "balanced_accuracy": np.where(several, recalls, np.nan),
        "mcc": np.where(spread > 0, (correct * total - chance) / np.sqrt(spread), np.nan),
        "kappa": np.where(several, (correct * total - chance) / (total**2 - chance), np.nan),
    }


def largest_class(train: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """The largest class by the training labels (N,), and the share of the labels (M,) of another set that are of it.

    Of equally large classes it is the first.
    """
    largest = int(np.bincount(train, minlength=len(classes)).argmax())
    return {"class": classes[largest], "accuracy": float((labels == largest).mean())}


def pooled_largest_class(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """That of several trainings, from their metrics of one set; `class` is None if they have different ones."""
    entries = [part.get(KEY) for part in parts]
    if not entries or None in entries:
        return None
    names = {entry["class"] for entry in entries if entry}
    shares, images = [entry["accuracy"] for entry in entries if entry], [part["images"] for part in parts]
    return {"class": names.pop() if len(names) == 1 else None, "accuracy": float(np.average(shares, weights=images))}
