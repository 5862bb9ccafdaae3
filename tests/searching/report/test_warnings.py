"""What a search warns of: before any training, and of its result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lightcnn.budget import Budget
from lightcnn.output.warnings import MEANINGS
from lightcnn.searching.plan import MIN_STEPS
from lightcnn.searching.report.warnings import early_warnings, hardly_trained
from lightcnn.space_choice import choose_space


@pytest.mark.parametrize(
    ("metric", "has_advice"),
    [("accuracy", True), ("log_loss", True), ("balanced_accuracy", False), ("f1", False), ("auc", False)],
)
def test_a_metric_is_advised_unless_it_counts_classes_alike(metric: str, has_advice: bool) -> None:
    advice = " Look at balanced_accuracy as well; --metric balanced_accuracy compares networks by it."
    (warning,) = early_warnings(metric, None, data(np.array([0, 1, 0, 0, 1])))
    expected = "75% of the training images are of class dark: accuracy favours it."
    assert (warning.code, warning.message) == ("largest_class_share", expected + advice * has_advice)


@pytest.mark.parametrize("budget", ["60MFLOPs", "10Mparams", "100MB"])
def test_a_space_that_is_not_meant_for_the_budget_is_warned_of(budget: str) -> None:
    even = data(np.array([0, 1, 0, 1, 1]))
    (warning,) = early_warnings("accuracy", choose_space(Budget.parse(budget), (3, 2, 28)), even)
    assert warning.code == "budget_above_space"
    assert warning.message.startswith(
        "The space micro was chosen although it is meant for at most 30 MFLOPs: the budget"
    )
    assert early_warnings("accuracy", None, even) == []


def test_a_network_of_few_steps_is_warned_of() -> None:
    (warning,) = hardly_trained(1)
    assert warning.code == "hardly_trained"
    assert "was trained for only one optimizer step: give" in warning.message
    assert "for only 99 optimizer steps" in hardly_trained(MIN_STEPS - 1)[0].message
    assert hardly_trained(MIN_STEPS) == []
    assert f"fewer than {MIN_STEPS} optimizer steps" in MEANINGS["hardly_trained"]


def data(labels: Any) -> Any:
    """Five images, of which all but the last are training images."""
    dataset = SimpleNamespace(labels=labels, classes=("dark", "bright"), size=28)
    return SimpleNamespace(dataset=dataset, split=SimpleNamespace(train=np.arange(4)))
