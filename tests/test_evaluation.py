"""Scores against hand-computed values and scikit-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightcnn.evaluation.calibration import calibration_error
from lightcnn.evaluation.intervals import wilson
from lightcnn.evaluation.scores import repeated, scores


def value(result: dict[str, Any], name: str) -> float | None:
    """A score, held against its interval."""
    found = result[name]
    assert ("undefined" in found) == (found["value"] is None)
    if found["low"] is not None:
        assert found["low"] <= found["value"] <= found["high"]
    return found["value"]


def test_wilson_of_the_field_notes():
    low, high = wilson(41, 45)
    assert (round(low, 3), round(high, 3)) == (0.793, 0.965)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert wilson(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)


def test_scores_of_two_classes():
    labels = np.array([0, 0, 0, 1, 1])
    positive = np.array([0.1, 0.6, 0.2, 0.9, 0.3])
    result = scores(labels, np.stack([1 - positive, positive], axis=1))
    assert result["confusion"] == [[2, 1], [1, 1]]
    assert value(result, "accuracy") == 0.6
    assert value(result, "sensitivity") == 0.5
    assert value(result, "specificity") == pytest.approx(2 / 3)
    assert value(result, "balanced_accuracy") == pytest.approx((0.5 + 2 / 3) / 2)
    assert value(result, "f1") == 0.5
    assert value(result, "auc") == pytest.approx(5 / 6)


def test_calibration_error_by_hand():
    labels = np.array([0, 0, 1, 1])
    sure = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(labels, sure) == pytest.approx(0.25)
    assert calibration_error(labels[:2], np.array([[0.75, 0.25]] * 2)) == pytest.approx(0.25)


def test_one_training_has_no_deviation():
    assert repeated([0.9], {"low": 0.8, "high": 0.95})["sd"] is None
    both = repeated([0.8, 0.9], {"low": 0.7, "high": 0.95})
    assert both["mean"] == pytest.approx(0.85)
    assert both["sd"] == pytest.approx(0.0707, abs=1e-4)
    assert (both["low"], both["high"]) == (0.7, 0.95)


def test_the_threshold_balances_the_classes():
    from lightcnn.evaluation.thresholds import best_threshold

    labels = np.array([0, 0, 0, 0, 1, 1])
    positive = np.array([0.1, 0.2, 0.3, 0.45, 0.4, 0.48])
    threshold = best_threshold(labels, positive)
    assert threshold == pytest.approx(0.35)
    assert scores(labels, np.stack([1 - positive, positive], axis=1), threshold=threshold)["sensitivity"]["value"] == 1
    assert best_threshold(labels, np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])) == 0.5
    assert best_threshold(np.zeros(3, dtype=int), np.array([0.1, 0.6, 0.7])) == 0.5
    assert best_threshold(labels, np.full(6, 0.9)) == 0.5


def test_cross_entropy_of_certain_errors_is_finite():
    from lightcnn.evaluation.calibration import cross_entropy

    assert cross_entropy(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])) == pytest.approx(np.log(2))
    assert np.isfinite(cross_entropy(np.array([0]), np.array([[0.0, 1.0]])))


def test_the_best_threshold_is_the_best_as_predict_decides() -> None:
    from lightcnn.evaluation.thresholds import best_threshold
    from lightcnn.predict import decide

    for seed in range(50):
        random = np.random.default_rng(seed)
        labels = np.arange(20) % 2
        # Few values, 0.5 among them, so that many are equal.
        positive = random.choice([0.1, 0.3, 0.5, 0.7, 0.9], 20) if seed % 2 else random.random(20)
        rows = np.stack([1 - positive, positive], axis=1)

        def balanced(threshold: float, rows: Any = rows, labels: Any = labels) -> float:
            right = decide(rows, threshold) == labels
            return round(float((right[labels == 0].mean() + right[labels == 1].mean()) / 2), 12)

        found = balanced(best_threshold(labels, positive))
        between = [float(t) for t in np.linspace(0.001, 0.999, 999) if positive.min() < t <= positive.max()]
        assert found >= max(balanced(threshold) for threshold in [0.5, *between])
