"""Which shipped space `--space auto` uses."""

from __future__ import annotations

import pytest

from lightcnn.budget import Budget
from lightcnn.space_choice import choose_space


@pytest.mark.parametrize(
    ("budget", "size", "name", "is_outside"),
    [
        ("1MFLOPs", 28, "micro", False),
        ("30MFLOPs", 224, "micro", False),
        ("31MFLOPs", 224, "mobilenet", False),
        ("31MFLOPs", 64, "mobilenet", False),
        ("31MFLOPs", 63, "micro", True),
        ("50kparams", 224, "micro", False),
        ("50kparams,100MFLOPs", 96, "mobilenet", False),
    ],
)
def test_the_space_follows_from_the_budget_and_the_size_of_the_images(
    budget: str, size: int, name: str, is_outside: bool
) -> None:
    chosen = choose_space(Budget.parse(budget), size)
    assert (chosen.name, chosen.is_outside) == (name, is_outside)
    assert [warning.code for warning in chosen.warnings()] == ["budget_above_space"] * is_outside
