"""Invented predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import metrics

from lightcnn.decisions import decide


def tied_predictions(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and groups of three images, of a mediocre network; some probabilities are equal."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    logits = random.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 2) + 1e-3
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True), (np.arange(count) // 3).astype(str)


def sample_predictions(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are mostly correct, with ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    rows = random.dirichlet(np.ones(classes), images) + np.eye(classes)[labels] * random.random((images, 1))
    return labels, np.round(rows / rows.sum(axis=1, keepdims=True), 2)


def scores_of_scikit_learn(labels: np.ndarray, rows: np.ndarray, threshold: float) -> dict[str, Any]:
    """Every score by its own function of scikit-learn."""
    kinds = range(rows.shape[1])
    predicted = decide(rows, threshold)
    each = {
        "precision": [metrics.precision_score(labels == c, predicted == c) for c in kinds],
        "sensitivity": [metrics.recall_score(labels == c, predicted == c) for c in kinds],
        "specificity": [metrics.recall_score(labels != c, predicted != c) for c in kinds],
        "f1": [metrics.f1_score(labels == c, predicted == c) for c in kinds],
        "auc": [metrics.roc_auc_score(labels == c, rows[:, c]) for c in kinds],
        "pr_auc": [metrics.average_precision_score(labels == c, rows[:, c]) for c in kinds],
    }
    return each | {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "kappa": metrics.cohen_kappa_score(labels, predicted),
        "brier": metrics.brier_score_loss(labels, rows, labels=kinds),
        "log_loss": metrics.log_loss(labels, rows / rows.sum(axis=1, keepdims=True), labels=kinds),
    }
