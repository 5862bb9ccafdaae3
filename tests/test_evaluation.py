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


def test_intervals_take_groups_for_what_they_are():
    from lightcnn.evaluation.intervals import accuracy_interval

    random = np.random.default_rng(0)
    right = random.random(300) < 0.8
    alone = accuracy_interval(right, np.arange(300).astype(str))
    assert (alone.low, alone.high) == wilson(int(right.sum()), 300)
    assert alone.method == "Wilson"
    grouped = accuracy_interval(np.repeat(right[:30], 10), np.repeat(np.arange(30), 10).astype(str))
    assert grouped.method == "bootstrap of 30 groups, 2,000 draws"
    low, high = wilson(int(right[:30].sum()), 30)
    assert (grouped.low, grouped.high) == pytest.approx((low, high), abs=0.06), "as wide as with 30 images"
    again = accuracy_interval(np.repeat(right[:30], 10), np.repeat(np.arange(30), 10).astype(str))
    assert grouped == again
    sure = accuracy_interval(np.ones(20, dtype=bool), np.repeat(np.arange(4), 5).astype(str))
    assert (sure.low, sure.high) == wilson(4, 4)


def test_the_bootstrap_draws_whole_groups_of_any_size():
    from lightcnn.evaluation.intervals import clustered

    right, codes = np.array([True] * 9 + [False]), np.array([0] * 9 + [1])
    assert clustered(right, codes, 0) == (0.0, 1.0)
    random = np.random.default_rng(1)
    right, codes = random.random(4000) < 0.7, np.arange(4000)
    low, high = clustered(right, codes, 0)
    expected = wilson(int(right.sum()), 4000)
    assert (low, high) == pytest.approx(expected, abs=0.004)


def test_the_threshold_balances_the_classes():
    from lightcnn.evaluation.scores import best_threshold

    labels = np.array([0, 0, 0, 0, 1, 1])
    positive = np.array([0.1, 0.2, 0.3, 0.45, 0.4, 0.48])
    threshold = best_threshold(labels, positive)
    assert threshold == pytest.approx(0.35)
    assert scores(labels, np.stack([1 - positive, positive], axis=1), threshold=threshold)["sensitivity"] == 1
    assert best_threshold(labels, np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])) == 0.5
    assert best_threshold(np.zeros(3, dtype=int), np.array([0.1, 0.6, 0.7])) == 0.5
    assert best_threshold(labels, np.full(6, 0.9)) == 0.5


def test_cross_entropy_of_certain_errors_is_finite():
    from lightcnn.evaluation.scores import cross_entropy

    assert cross_entropy(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])) == pytest.approx(np.log(2))
    assert np.isfinite(cross_entropy(np.array([0]), np.array([[0.0, 1.0]])))
