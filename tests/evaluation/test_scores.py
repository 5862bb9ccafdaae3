"""Scores against values computed by hand and by scikit-learn, and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.predictions import sample_predictions, scores_of_scikit_learn

from lightcnn.evaluation.intervals import wilson
from lightcnn.evaluation.scores import CLASS_SCORES, point_scores, repeated_accuracy, scores


def value(result: dict[str, Any], name: str) -> float | None:
    """The value of a score, which must be within its interval."""
    entry = result[name]
    assert ("undefined" in entry) == (entry["value"] is None)
    if entry["low"] is not None:
        assert entry["low"] <= entry["value"] <= entry["high"]
    return entry["value"]


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


@pytest.mark.parametrize("classes", [2, 4])
def test_every_score_is_that_of_scikit_learn(classes):
    labels, rows = sample_predictions(300, classes)
    rows /= rows.sum(axis=1, keepdims=True)
    expected = scores_of_scikit_learn(labels, rows, 0.4)
    result = scores(labels, rows, threshold=0.4)
    for name, truth in expected.items():
        if name in CLASS_SCORES:
            each = [of_class[name]["value"] for of_class in result["per_class"].values()]
            assert each == pytest.approx(truth)
            truth = truth[1] if classes == 2 else np.mean(truth)
        assert value(result, name) == pytest.approx(truth), name
    assert sum(of_class["images"] for of_class in result["per_class"].values()) == 300
    assert result["images"] == result["groups"] == 300


def test_three_classes_with_one_missing():
    labels = np.array([0, 1, 0, 1])
    rows = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.7, 0.1], [0.2, 0.6, 0.2]])
    result = scores(labels, rows, classes=("a", "b", "c"))
    assert result["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    missing = result["per_class"]["c"]
    for name in ("sensitivity", "f1", "auc", "pr_auc"):
        assert missing[name]["undefined"] == "no image of this set is of class 'c'"
        assert missing[name]["value"] is missing[name]["low"] is missing[name]["high"] is None
    assert missing["precision"]["undefined"] == "no image is predicted as class 'c'"
    assert value(missing, "specificity") == 1
    assert value(result, "balanced_accuracy") == 0.75
    assert value(result, "sensitivity") == 0.75
    assert value(result, "auc") == pytest.approx(np.mean([result["per_class"][c]["auc"]["value"] for c in "ab"]))
    assert "0 images of class 'c'" in result["warning"]


def test_a_set_of_one_class_has_undefined_scores_with_the_reason():
    result = scores(np.array([0, 0, 0]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), classes=("a", "b"))
    for name in ("balanced_accuracy", "mcc", "kappa"):
        assert result[name]["undefined"] == "all images of this set are of class 'a'"
    for name in ("sensitivity", "auc", "pr_auc", "f1"):
        assert value(result, name) is None
        assert "'b'" in result[name]["undefined"]
    assert result["per_class"]["a"]["specificity"]["undefined"] == "all images of this set are of class 'a'"
    assert value(result, "specificity") == pytest.approx(2 / 3)
    assert value(result, "accuracy") == pytest.approx(2 / 3)
    same = scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), classes=("a", "b"))
    assert same["mcc"]["undefined"] == "all images are predicted as class 'a'"
    assert point_scores(np.array([0, 0]), np.array([[0.9, 0.1]] * 2)) == {
        "accuracy": 1, "balanced_accuracy": None, "f1": None, "auc": None,
    }  # fmt: skip


def test_one_training_has_no_deviation():
    assert repeated_accuracy([0.9], {"low": 0.8, "high": 0.95})["sd"] is None
    both = repeated_accuracy([0.8, 0.9], {"low": 0.7, "high": 0.95})
    assert both["mean"] == pytest.approx(0.85)
    assert both["sd"] == pytest.approx(0.0707, abs=1e-4)
    assert (both["low"], both["high"]) == (0.7, 0.95)


def test_independent_images_have_wilsons_interval():
    labels, rows = sample_predictions(300, 2)
    result = scores(labels, rows)
    (true_negative, false_positive), (false_negative, true_positive) = result["confusion"]
    for name, counts in {
        "accuracy": (true_negative + true_positive, 300),
        "sensitivity": (true_positive, true_positive + false_negative),
        "specificity": (true_negative, true_negative + false_positive),
        "precision": (true_positive, true_positive + false_positive),
    }.items():  # fmt: skip
        assert (result[name]["low"], result[name]["high"]) == pytest.approx(wilson(*counts))
        assert result[name]["interval"] == "Wilson"
    assert result["f1"]["interval"] == "bootstrap of 300 images, 2,000 draws"
    assert result["warning"] is None


def test_copies_of_images_do_not_narrow_intervals():
    """Ten copies of 60 images: intervals are as wide as those of the 60, and the number of groups is stated."""
    labels, rows = sample_predictions(60, 2)
    single = scores(labels, rows)
    copied = scores(
        *(np.repeat(values, 10, axis=0) for values in (labels, rows)), groups=np.repeat(np.arange(60), 10).astype(str)
    )
    assert (copied["images"], copied["groups"], copied["per_class"]["0"]["groups"]) == (600, 60, (labels == 0).sum())
    assert copied["accuracy"]["interval"].startswith("Wilson on 60 groups of equal size")
    assert copied["auc"]["interval"] == "bootstrap of 60 groups, 2,000 draws"
    for name in ("accuracy", "sensitivity", "f1", "auc", "mcc", "log_loss"):
        assert copied[name]["value"] == pytest.approx(single[name]["value"])
        assert (copied[name]["low"], copied[name]["high"]) == pytest.approx(
            (single[name]["low"], single[name]["high"]), abs=0.025
        )


def test_perfect_predictions_have_intervals_from_their_groups():
    labels = np.repeat([0, 1], 20)
    result = scores(labels, np.eye(2)[labels] * 0.8 + 0.1, groups=np.repeat(np.arange(10), 4).astype(str))
    assert (result["accuracy"]["low"], result["accuracy"]["high"]) == wilson(10, 10)
    assert (result["sensitivity"]["low"], result["sensitivity"]["high"]) == wilson(5, 5)
    for name in ("auc", "pr_auc", "brier", "log_loss"):
        assert result[name]["low"] is None
        assert result[name]["interval"] == "none: 10 groups, 5 of the rarest class, are too few"
    enough = scores(labels, np.eye(2)[labels] * 0.8 + 0.1, groups=np.repeat(np.arange(20), 2).astype(str))
    assert (enough["auc"]["low"], enough["auc"]["interval"]) == (wilson(10, 10)[0], "Wilson on 10 groups")
    assert enough["warning"] is None
    assert result["mcc"]["low"] == pytest.approx(2 * wilson(10, 10)[0] - 1)
    assert result["warning"].startswith(
        "too few for a reliable result: 10 groups in all, 5 groups of class '0', 5 groups"
    )
    single_group = scores(labels, np.eye(2)[labels], groups=np.repeat("one", 40))
    assert (single_group["accuracy"]["low"], single_group["accuracy"]["high"]) == wilson(1, 1)


def test_many_undefined_draws_are_reported():
    labels = np.array([0] * 6 + [1] * 6)
    rows = np.random.default_rng(3).dirichlet([1, 1], 12)
    result = scores(labels, rows, groups=np.array([*"abcdef", *"gggghh"]))
    assert "undefined draws left out" in result["sensitivity"]["interval"]
    assert "undefined" not in result["accuracy"]["interval"]


def test_no_interval_of_a_share_is_wider_than_that_of_equal_groups():
    """76 groups of 1 to 3 images, with one misclassified image, whose group causes the whole spread."""
    sizes = np.array([1, 2, 3, 3] * 19)
    groups = np.repeat([f"{place:03}" for place in range(76)], sizes)
    labels = np.repeat(np.arange(76) % 2, sizes)
    predicted = labels.copy()
    predicted[5] = 1 - predicted[5]
    entry = scores(labels, np.eye(2)[predicted], groups=groups)["accuracy"]
    equal = sizes.sum() ** 2 / (sizes**2).sum()
    low, high = wilson(entry["value"] * equal, equal)
    assert (entry["low"], entry["high"]) == pytest.approx((low, high))
    assert entry["interval"].startswith(f"Wilson on {int(equal)} groups of equal size")
    assert equal == pytest.approx(76 * 2.25**2 / 5.75)
    perfect = scores(labels, np.eye(2)[labels], groups=groups)["accuracy"]
    assert perfect["low"] > low, "an error never narrows the interval"
