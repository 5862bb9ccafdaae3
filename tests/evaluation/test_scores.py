"""Scores against hand-computed values and scikit-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import t
from sklearn import metrics

from lightcnn.decisions import decide
from lightcnn.evaluation.bootstrap import DRAWS, draw_counts, leave_one_out_counts, resample
from lightcnn.evaluation.calibration import apply_temperature, calibration_error, fit_temperature
from lightcnn.evaluation.intervals import BootstrapDraws, bounded_interval, wilson
from lightcnn.evaluation.scores import (
    CLASS_SCORES,
    bootstrap_scores,
    labelled_predictions,
    point_scores,
    repeated_accuracy,
    scores,
)
from lightcnn.evaluation.thresholds import operating_points
from lightcnn.inference import class_probabilities


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


def answers(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that are right more often than not, with ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    rows = random.dirichlet(np.ones(classes), images) + np.eye(classes)[labels] * random.random((images, 1))
    return labels, np.round(rows / rows.sum(axis=1, keepdims=True), 2)


def by_scikit_learn(labels: np.ndarray, rows: np.ndarray, threshold: float) -> dict[str, Any]:
    """Every score by its own function, on images as they are."""
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


@pytest.mark.parametrize("classes", [2, 4])
def test_every_score_is_scikit_learns(classes):
    labels, rows = answers(300, classes)
    rows /= rows.sum(axis=1, keepdims=True)
    expected = by_scikit_learn(labels, rows, 0.4)
    found = scores(labels, rows, threshold=0.4)
    for name, truth in expected.items():
        if name in CLASS_SCORES:
            each = [of[name]["value"] for of in found["per_class"].values()]
            assert each == pytest.approx(truth)
            truth = truth[1] if classes == 2 else np.mean(truth)
        assert value(found, name) == pytest.approx(truth), name
    assert sum(of["images"] for of in found["per_class"].values()) == found["images"] == found["groups"] == 300


@pytest.mark.parametrize("classes", [2, 4])
def test_a_draw_is_scikit_learns_on_the_images_drawn(classes):
    """Draws, and groups left out, are the scores of images that are really repeated and really taken away."""
    labels, rows = answers(120, classes)
    rows /= rows.sum(axis=1, keepdims=True)
    groups = np.random.default_rng(2).permutation(np.arange(120) ** 2 % 30)
    count = len(np.unique(groups))
    held = labelled_predictions(labels, rows, groups=groups.astype(str), threshold=0.4)
    drawn = bootstrap_scores(held, np.array([0.3]), draws=5)
    times = np.concatenate([*draw_counts(count, 3, draws=5), *leave_one_out_counts(count, 7)])
    assert times[:5].sum(axis=1).tolist() == [count] * 5
    assert len(times) == len(drawn["accuracy"]) == count + 5 > 15
    for row, weights in enumerate(times):
        images = np.repeat(np.arange(120), weights[held.codes].astype(int))
        for name, truth in by_scikit_learn(labels[images], rows[images], 0.4).items():
            assert drawn[name][row] == pytest.approx(truth), f"{name} in row {row}"
        if classes == 2:
            beyond = rows[images, 1] >= 0.3
            assert drawn["at"][row, 0, 0] == pytest.approx(beyond[labels[images] == 1].mean())
            assert drawn["at"][row, 1, 0] == pytest.approx(1 - beyond[labels[images] == 0].mean())


def test_three_classes_with_one_missing():
    labels = np.array([0, 1, 0, 1])
    rows = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.7, 0.1], [0.2, 0.6, 0.2]])
    result = scores(labels, rows, classes=("a", "b", "c"))
    assert result["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    missing = result["per_class"]["c"]
    for name in ("sensitivity", "f1", "auc", "pr_auc"):
        assert missing[name]["undefined"] == "no image on this side is of class 'c'"
        assert missing[name]["value"] is missing[name]["low"] is missing[name]["high"] is None
    assert missing["precision"]["undefined"] == "no image is taken for class 'c'"
    assert value(missing, "specificity") == 1
    assert value(result, "balanced_accuracy") == 0.75
    assert value(result, "sensitivity") == 0.75
    assert value(result, "auc") == pytest.approx(np.mean([result["per_class"][c]["auc"]["value"] for c in "ab"]))
    assert "0 images of class 'c'" in result["warning"]


def test_one_class_only_is_said_and_not_scored():
    result = scores(np.array([0, 0, 0]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), classes=("a", "b"))
    for name in ("balanced_accuracy", "mcc", "kappa"):
        assert result[name]["undefined"] == "only images of class 'a' on this side"
    for name in ("sensitivity", "auc", "pr_auc", "f1"):
        assert value(result, name) is None
        assert "'b'" in result[name]["undefined"]
    assert result["per_class"]["a"]["specificity"]["undefined"] == "only images of class 'a' on this side"
    assert value(result, "specificity") == pytest.approx(2 / 3)
    assert value(result, "accuracy") == pytest.approx(2 / 3)
    same = scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), classes=("a", "b"))
    assert same["mcc"]["undefined"] == "every image is taken for class 'a'"
    assert point_scores(np.array([0, 0]), np.array([[0.9, 0.1]] * 2)) == {
        "accuracy": 1, "balanced_accuracy": None, "f1": None, "auc": None,
    }  # fmt: skip


def test_calibration_error_by_hand():
    labels = np.array([0, 0, 1, 1])
    sure = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(labels, sure) == pytest.approx(0.25)
    assert calibration_error(labels[:2], np.array([[0.75, 0.25]] * 2)) == pytest.approx(0.25)


def test_one_training_has_no_deviation():
    assert repeated_accuracy([0.9], {"low": 0.8, "high": 0.95})["sd"] is None
    both = repeated_accuracy([0.8, 0.9], {"low": 0.7, "high": 0.95})
    assert both["mean"] == pytest.approx(0.85)
    assert both["sd"] == pytest.approx(0.0707, abs=1e-4)
    assert (both["low"], both["high"]) == (0.7, 0.95)


def test_images_of_their_own_have_wilsons_interval():
    labels, rows = answers(300, 2)
    found = scores(labels, rows)
    (fine, false), (missed, hit) = found["confusion"]
    for name, counts in {
        "accuracy": (fine + hit, 300), "sensitivity": (hit, hit + missed), "specificity": (fine, fine + false),
        "precision": (hit, hit + false),
    }.items():  # fmt: skip
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(wilson(*counts))
        assert found[name]["interval"] == "Wilson"
    assert found["f1"]["interval"] == "bootstrap of 300 images, 2,000 draws"
    assert found["warning"] is None


def test_copies_of_images_tell_no_more_than_the_images():
    """Ten copies of 60 photographs: intervals are as wide as those of the 60, and the number of groups is said."""
    labels, rows = answers(60, 2)
    alone = scores(labels, rows)
    copied = scores(
        *(np.repeat(of, 10, axis=0) for of in (labels, rows)), groups=np.repeat(np.arange(60), 10).astype(str)
    )
    assert (copied["images"], copied["groups"], copied["per_class"]["0"]["groups"]) == (600, 60, (labels == 0).sum())
    assert copied["accuracy"]["interval"].startswith("Wilson on 60 groups of one size")
    assert copied["auc"]["interval"] == "bootstrap of 60 groups, 2,000 draws"
    for name in ("accuracy", "sensitivity", "f1", "auc", "mcc", "log_loss"):
        assert copied[name]["value"] == pytest.approx(alone[name]["value"])
        assert (copied[name]["low"], copied[name]["high"]) == pytest.approx(
            (alone[name]["low"], alone[name]["high"]), abs=0.025
        )


def test_what_is_always_right_has_an_interval_of_its_groups():
    labels = np.repeat([0, 1], 20)
    found = scores(labels, np.eye(2)[labels] * 0.8 + 0.1, groups=np.repeat(np.arange(10), 4).astype(str))
    assert (found["accuracy"]["low"], found["accuracy"]["high"]) == wilson(10, 10)
    assert (found["sensitivity"]["low"], found["sensitivity"]["high"]) == wilson(5, 5)
    for name in ("auc", "pr_auc", "brier", "log_loss"):
        assert found[name]["low"] is None
        assert found[name]["interval"] == "none: 10 groups, 5 of the rarest class, are too few"
    enough = scores(labels, np.eye(2)[labels] * 0.8 + 0.1, groups=np.repeat(np.arange(20), 2).astype(str))
    assert (enough["auc"]["low"], enough["auc"]["interval"]) == (wilson(10, 10)[0], "Wilson on 10 groups")
    assert enough["warning"] is None
    assert found["mcc"]["low"] == pytest.approx(2 * wilson(10, 10)[0] - 1)
    assert found["warning"].startswith("too few to say anything: 10 groups in all, 5 groups of class '0', 5 groups")
    lone = scores(labels, np.eye(2)[labels], groups=np.repeat("one", 40))
    assert (lone["accuracy"]["low"], lone["accuracy"]["high"]) == wilson(1, 1)


def test_many_undefined_draws_are_said():
    labels = np.array([0] * 6 + [1] * 6)
    rows = np.random.default_rng(3).dirichlet([1, 1], 12)
    found = scores(labels, rows, groups=np.array([*"abcdef", *"gggghh"]))
    assert "undefined ones left out" in found["sensitivity"]["interval"]
    assert "undefined" not in found["accuracy"]["interval"]


def test_intervals_of_groups_cover_and_those_of_images_do_not():
    """400 test sides of 50 groups of 1 to 8 images; the whole table is printed by tests/benchmarks/coverage.py."""
    random, share, correlation = np.random.default_rng(5), 0.8, 0.3
    spread, held, naive, repetitions = (1 - correlation) / correlation, 0, 0, 400
    for _ in range(repetitions):
        sizes = random.integers(1, 9, 50)
        chance = np.repeat(random.beta(share * spread, (1 - share) * spread, 50), sizes)
        codes = np.repeat(np.arange(50), sizes)
        right = (random.random(len(codes)) < chance)[:, None].astype(float)
        sums, _, _ = resample(codes, np.concatenate([right, np.ones_like(right)], axis=1), [None])
        values = sums[:, 0] / sums[:, 1]
        found = bounded_interval(right.mean(), BootstrapDraws(values[:DRAWS], values[DRAWS:], 50, 50, "group"))
        held += found.low <= share <= found.high
        low, high = wilson(right.sum(), len(right))
        naive += low <= share <= high
    assert 0.92 <= held / repetitions <= 0.98
    assert naive / repetitions < 0.85


def test_the_spread_is_known_worse_where_one_group_makes_it():
    even = BootstrapDraws(np.linspace(0.7, 0.9, 2000), np.linspace(0.79, 0.81, 50), 50, 50, "group")
    lone = BootstrapDraws(np.linspace(0.7, 0.9, 2000), np.array([0.8] * 49 + [0.9]), 50, 50, "group")
    assert even.spread()[1] == pytest.approx(t.ppf(0.975, 49))
    assert lone.spread()[1] > t.ppf(0.975, 3)
    assert lone.spread()[0] == even.spread()[0] == pytest.approx(np.std(even.values, ddof=1) * np.sqrt(50 / 49))


def test_no_interval_of_a_share_is_wider_than_that_of_as_many_groups_as_there_are():
    """76 groups of 1 to 3 images, one image told wrong: that one group makes the whole spread."""
    sizes = np.array([1, 2, 3, 3] * 19)
    groups = np.repeat([f"{place:03}" for place in range(76)], sizes)
    labels = np.repeat(np.arange(76) % 2, sizes)
    predicted = labels.copy()
    predicted[5] = 1 - predicted[5]
    found = scores(labels, np.eye(2)[predicted], groups=groups)["accuracy"]
    even = sizes.sum() ** 2 / (sizes**2).sum()
    low, high = wilson(found["value"] * even, even)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["interval"].startswith(f"Wilson on {int(even)} groups of one size")
    assert even == pytest.approx(76 * 2.25**2 / 5.75)
    lone = scores(labels, np.eye(2)[labels], groups=groups)["accuracy"]
    assert lone["low"] > low, "one error never narrows it"


def test_the_temperature_that_was_planted_is_found():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 3))
    labels = (random.random((20_000, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    for planted in (0.4, 2.5):
        sharp = softmax(logits * planted, axis=1)
        found = fit_temperature(labels, sharp)
        assert found.value == pytest.approx(planted, rel=0.03)
        np.testing.assert_allclose(apply_temperature(sharp, planted), softmax(logits, axis=1), atol=1e-12)
        assert calibration_error(labels, apply_temperature(sharp, found.value)) < calibration_error(labels, sharp) / 3
        assert (apply_temperature(sharp, found.value).argmax(axis=1) == sharp.argmax(axis=1)).all()


def test_a_saturated_sigmoid_is_scaled_as_predict_scales_it():
    """Logits of 60: one minus the probability would be 0, and no temperature would bring it back."""
    logits = torch.tensor([[60.0], [-60.0], [3.0]])
    expected = class_probabilities(logits, 10).numpy()
    np.testing.assert_allclose(apply_temperature(class_probabilities(logits).numpy(), 10), expected, atol=1e-12)
    assert expected[0, 0] > 0.002


def test_a_temperature_stays_where_nothing_speaks_for_another():
    labels, rows = answers(40, 2)
    assert fit_temperature(labels, rows).value != 1
    few = fit_temperature(labels, rows, np.repeat(np.arange(8), 5).astype(str))
    assert (few.value, few.rule) == (1, "kept at 1: the validation side has fewer than 10 groups")
    right = fit_temperature(labels, np.eye(2)[labels] * 0.6 + 0.2)
    assert right.value == 1
    assert "every validation image is told right" in right.rule


def test_operating_points_are_the_validation_sides_and_judged_on_the_test_side():
    labels = np.repeat([0, 1], 10)
    positive = np.concatenate([np.arange(10) / 20, np.arange(10) / 20 + 0.225])
    chosen = operating_points(labels, positive)
    assert chosen["at_specificity"]["0.90"] == pytest.approx((0.4 + 0.425) / 2)
    assert chosen["at_sensitivity"]["0.90"] == pytest.approx((0.25 + 0.275) / 2)
    rows = np.stack([1 - positive, positive], axis=1)
    found = scores(labels, rows, operating=chosen)["at_specificity"]
    assert found["0.90"]["specificity"]["value"] == pytest.approx(0.9)
    assert found["0.90"]["sensitivity"]["value"] == pytest.approx((positive[10:] >= 0.4125).mean())
    assert found["0.95"]["specificity"]["value"] == 1
    elsewhere = scores(labels, rows[::-1], operating=chosen)["at_specificity"]["0.90"]
    assert elsewhere["threshold"] == found["0.90"]["threshold"]
    assert elsewhere["specificity"]["value"] < 0.9
    nothing = scores(labels, rows, operating=operating_points(labels[:10], positive[:10]))["at_sensitivity"]["0.95"]
    assert nothing["threshold"] is None
    assert "validation side" in nothing["sensitivity"]["undefined"]
    assert scores(labels, rows)["at_sensitivity"] is None


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
    from lightcnn.decisions import decide
    from lightcnn.evaluation.thresholds import best_threshold

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
