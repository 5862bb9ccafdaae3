"""The score of always predicting the largest class of the training set, and the warning if it is not exceeded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightcnn.evaluation.score_values import largest_class, pooled_largest_class
from lightcnn.evaluation.scores import scores
from lightcnn.output.largest_class import (
    is_shown_better,
    largest_class_clause,
    largest_class_sentence,
    largest_class_warnings,
    share_warnings,
)

CLASSES = ("Monkey_Pox", "Others")


def metrics(correct: int, train: list[int]) -> dict[str, Any]:
    """The scores of 46 test images, 25 of them of the second class, of which the first `correct` are correct."""
    labels = np.array([1] * 25 + [0] * 21)
    predicted = np.where(np.arange(46) < correct, labels, 1 - labels)
    probabilities = np.stack([1.0 - predicted, predicted], axis=1)
    return scores(labels, probabilities, classes=CLASSES) | {
        "largest_class": largest_class(np.array(train), labels, CLASSES)
    }


def test_the_largest_class_is_that_of_the_training_labels() -> None:
    assert metrics(25, [1, 1, 0])["largest_class"] == {"class": "Others", "accuracy": 25 / 46}
    assert metrics(25, [0, 0, 1])["largest_class"] == {"class": "Monkey_Pox", "accuracy": 21 / 46}


def test_an_accuracy_of_always_predicting_the_largest_class_is_warned_of() -> None:
    """25 of 46 is 54.35 %, Wilson's interval 40.18 to 67.85 %; 40 of 46 is 74.33 % or more."""
    always = metrics(25, [1, 1, 0])
    (warning,) = largest_class_warnings(always)
    assert (warning.code, warning.count) == ("largest_class_score", 46)
    assert "accuracy of 54.35% (95 % interval 40.18% to 67.85%)" in warning.message
    assert "always predicting Others, the largest class of the training set, which is correct for 54.35%" in (
        warning.message
    )
    assert largest_class_warnings(metrics(40, [1, 1, 0])) == []
    assert largest_class_clause(always) == "; always predicting Others: 54.35%"


def test_a_class_with_most_training_images_is_warned_of_with_the_remedy() -> None:
    assert share_warnings([0, 0, 0, 1, 1], CLASSES) == []
    (warning,) = share_warnings([0, 0, 0, 1], CLASSES)
    assert (warning.code, warning.count) == ("largest_class_share", 3)
    assert warning.message == f"75% of the training images are of class {CLASSES[0]}: accuracy favours it."
    (advised,) = share_warnings([0, 0, 0, 1], CLASSES, remedy="Search by f1.")
    assert advised.message == f"{warning.message} Search by f1."


def test_parts_are_averaged_over_their_images() -> None:
    parts = [
        {"images": 10, "largest_class": {"class": "a", "accuracy": 0.5}},
        {"images": 30, "largest_class": {"class": "b", "accuracy": 0.7}},
    ]
    assert pooled_largest_class(parts) == {"class": None, "accuracy": pytest.approx(0.65)}
    assert pooled_largest_class(parts[:1]) == {"class": "a", "accuracy": 0.5}
    assert pooled_largest_class([*parts, {"images": 5}]) is None


def test_reports_of_earlier_versions_have_no_sentence() -> None:
    earlier = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}
    assert (largest_class_sentence(earlier), largest_class_clause(earlier)) == ("", "")
    assert is_shown_better(earlier)
    assert largest_class_warnings(earlier) == []
