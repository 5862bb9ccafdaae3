"""Scores against hand-computed values and scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest

from lightcnn.evaluation.scores import calibration_error, repeated, scores, wilson


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
    assert result["accuracy"]["value"] == 0.6
    assert result["sensitivity"] == 0.5
    assert result["specificity"] == pytest.approx(2 / 3)
    assert result["balanced_accuracy"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert result["f1"] == 0.5
    assert result["auc"] == pytest.approx(5 / 6)


def test_scores_of_three_classes_with_one_missing():
    labels = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.7, 0.1], [0.2, 0.6, 0.2]])
    result = scores(labels, probabilities)
    assert result["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert result["auc"] is None
    assert result["balanced_accuracy"] == 0.75
    assert result["sensitivity"] == 0.75


def test_what_is_undefined_is_none():
    result = scores(np.array([0, 0, 0]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]))
    assert result["sensitivity"] is None
    assert result["auc"] is None
    assert result["specificity"] == pytest.approx(2 / 3)
    assert result["balanced_accuracy"] == pytest.approx(2 / 3)


def test_calibration_error_by_hand():
    labels = np.array([0, 0, 1, 1])
    sure = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(labels, sure) == pytest.approx(0.25)
    assert calibration_error(labels[:2], np.array([[0.75, 0.25]] * 2)) == pytest.approx(0.25)


def test_one_training_has_no_deviation():
    assert repeated([0.9], 100)["sd"] is None
    both = repeated([0.8, 0.9], 100)
    assert both["mean"] == pytest.approx(0.85)
    assert both["sd"] == pytest.approx(0.0707, abs=1e-4)
    assert both["low"] < 0.85 < both["high"]
