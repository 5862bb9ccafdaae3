"""Which shipped space `--space auto` uses."""

from __future__ import annotations

import pytest

from lightcnn.budget import Budget
from lightcnn.space import SearchSpace
from lightcnn.space_choice import LARGEST_MICRO_INPUT, SMALLEST_MOBILENET, choose_space


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


@pytest.mark.parametrize(
    ("budget", "size", "asked", "name", "is_outside"),
    [
        ("25MFLOPs", 224, 96, "mobilenet", False),
        ("25MFLOPs", 28, 96, "mobilenet", False),
        ("25MFLOPs", 224, 65, "mobilenet", False),
        ("25MFLOPs", 224, 64, "micro", False),
        ("50kparams", 224, 96, "mobilenet", False),
        ("31MFLOPs", 28, 64, "mobilenet", False),
        ("31MFLOPs", 224, 48, "micro", True),
    ],
)
def test_an_input_size_that_is_given_decides_in_place_of_that_of_the_images(
    budget: str, size: int, asked: int, name: str, is_outside: bool
) -> None:
    chosen = choose_space(Budget.parse(budget), size, asked)
    assert (chosen.name, chosen.is_outside) == (name, is_outside)
    inputs = SearchSpace.load(name).size
    assert inputs[0] <= asked <= inputs[-1]


def test_the_reason_names_the_input_size() -> None:
    small, large = Budget.parse("25MFLOPs"), Budget.parse("31MFLOPs")
    assert choose_space(small, 28, 96).reason == "inputs have 96 pixels, and the largest input of micro is 64"
    assert choose_space(large, 224, 48).reason == "inputs have 48 pixels, and the smallest input of mobilenet is 64"
    assert choose_space(large, 48).reason == "images have 48 pixels, and the smallest input of mobilenet is 64"


def test_the_sizes_are_those_of_the_spaces() -> None:
    assert SearchSpace.load("micro").size[-1] == LARGEST_MICRO_INPUT
    assert SearchSpace.load("mobilenet").size[0] == SMALLEST_MOBILENET
