"""Thresholds are chosen on the validation set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightcnn.decisions import decide
from lightcnn.evaluation.scores import scores
from lightcnn.evaluation.thresholds import STEPS, abstentions, best_threshold, operating_points


def test_operating_points_are_chosen_on_one_set_and_scored_on_another():
    labels = np.repeat([0, 1], 10)
    positive = np.concatenate([np.arange(10) / 20, np.arange(10) / 20 + 0.225])
    chosen = operating_points(labels, positive)
    assert chosen["at_specificity"]["0.90"] == pytest.approx((0.4 + 0.425) / 2)
    assert chosen["at_sensitivity"]["0.90"] == pytest.approx((0.25 + 0.275) / 2)
    rows = np.stack([1 - positive, positive], axis=1)
    entries = scores(labels, rows, operating=chosen)["at_specificity"]
    assert entries["0.90"]["specificity"]["value"] == pytest.approx(0.9)
    assert entries["0.90"]["sensitivity"]["value"] == pytest.approx((positive[10:] >= 0.4125).mean())
    assert entries["0.95"]["specificity"]["value"] == 1
    elsewhere = scores(labels, rows[::-1], operating=chosen)["at_specificity"]["0.90"]
    assert elsewhere["threshold"] == entries["0.90"]["threshold"]
    assert elsewhere["specificity"]["value"] < 0.9
    missing = scores(labels, rows, operating=operating_points(labels[:10], positive[:10]))["at_sensitivity"]["0.95"]
    assert missing["threshold"] is None
    assert "validation set" in missing["sensitivity"]["undefined"]
    assert scores(labels, rows)["at_sensitivity"] is None


def test_every_step_has_the_rates_at_its_threshold():
    labels, positive = np.array([0] * 10 + [1] * 10), np.linspace(0.0, 0.95, 20)
    rows = np.stack([1 - positive, positive], axis=1)
    steps = scores(labels, rows, operating=operating_points(labels, positive))["at_threshold"]
    assert [step["threshold"] for step in steps.values()] == list(STEPS) == sorted(STEPS)
    for step in steps.values():
        predicted = positive >= step["threshold"]
        assert step["sensitivity"]["value"] == pytest.approx(predicted[10:].mean())
        assert step["specificity"]["value"] == pytest.approx(1 - predicted[:10].mean())
        low, value, high = (step["sensitivity"][key] for key in ("low", "value", "high"))
        assert low - 1e-9 <= value <= high + 1e-9


def test_unsure_images_can_be_left_undecided():
    labels = np.array([0, 1, 2, 0])
    rows = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3]])
    by_step = {step["threshold"]: step for step in abstentions(labels, rows, np.array(["a", "a", "b", "c"]))}
    half = by_step[0.5]
    assert half["coverage"]["value"] == 0.5 and half["accuracy"]["value"] == 1
    assert half["coverage"]["interval"] == "Wilson on 3 groups" and half["accuracy"]["interval"] == "Wilson on 1 groups"
    assert by_step[0.01]["coverage"]["value"] == 1 and by_step[0.01]["accuracy"]["value"] == 0.5
    assert by_step[0.99]["coverage"]["value"] == 0 and by_step[0.99]["accuracy"]["value"] is None
    assert "no image" in by_step[0.99]["accuracy"]["undefined"]


def test_the_threshold_balances_the_classes():
    labels = np.array([0, 0, 0, 0, 1, 1])
    positive = np.array([0.1, 0.2, 0.3, 0.45, 0.4, 0.48])
    threshold = best_threshold(labels, positive)
    assert threshold == pytest.approx(0.35)
    assert scores(labels, np.stack([1 - positive, positive], axis=1), threshold=threshold)["sensitivity"]["value"] == 1
    assert best_threshold(labels, np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])) == 0.5
    assert best_threshold(np.zeros(3, dtype=int), np.array([0.1, 0.6, 0.7])) == 0.5
    assert best_threshold(labels, np.full(6, 0.9)) == 0.5


def test_no_threshold_is_better_than_the_best_if_classes_are_chosen_as_in_predict() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        labels = np.arange(20) % 2
        # Few values, including 0.5, so that many are equal.
        positive = random.choice([0.1, 0.3, 0.5, 0.7, 0.9], 20) if seed % 2 else random.random(20)
        rows = np.stack([1 - positive, positive], axis=1)

        def balanced(threshold: float, rows: Any = rows, labels: Any = labels) -> float:
            correct = decide(rows, threshold) == labels
            return round(float((correct[labels == 0].mean() + correct[labels == 1].mean()) / 2), 12)

        best = balanced(best_threshold(labels, positive))
        between = [float(t) for t in np.linspace(0.001, 0.999, 999) if positive.min() < t <= positive.max()]
        assert best >= max(balanced(threshold) for threshold in [0.5, *between])
