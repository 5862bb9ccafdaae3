"""The range of a budget and its bands."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from lightcnn.budget import Budget
from lightcnn.cost_range import MAX_BANDS, cost_bands, cost_range
from lightcnn.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1MFLOPs",
            "--pareto: budget 1MFLOPs has no range; write the lowest and the highest cost of the front, as in 0.1",
        ),
        ("50ms-onnx", "as in 5..50ms-onnx"),
        ("64KB", "as in 6.4..64kB"),
        ("0.2..4MFLOPs,20k..200kparams", "has 2 ranges; a front is over one cost"),
        ("0.9..1MFLOPs", "the range 0.9..1MFLOPs is narrow; its upper end must be at least 2 times"),
    ],
)
def test_a_front_needs_one_wide_range(text: str, message: str) -> None:
    with pytest.raises(BudgetError) as caught:
        cost_range(Budget.parse(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "count"), [("1..2ms", 1), ("0.2..4MFLOPs", 5), ("20k..200kparams,1MFLOPs", 4)])
def test_bands_have_the_lower_end_and_upper_limits_at_most_a_factor_of_two_apart(text: str, count: int) -> None:
    budget = Budget.parse(text)
    limit = cost_range(budget)
    bands = cost_bands(budget)
    assert len(bands) == count
    limits = [next(each for each in band.limits if each.resource is limit.resource) for band in bands]
    assert {each.lower for each in limits} == {limit.lower}
    ends = [limit.lower, *(each.upper for each in limits)]
    assert ends[-1] == limit.upper
    factors = [b / a for a, b in pairwise(ends)]
    assert max(factors) <= 2.001
    assert max(factors) / min(factors) < 1.01
    assert all(band.limits[1:] == budget.limits[1:] for band in bands if limit is budget.limits[0])


def test_bands_are_within_what_networks_can_cost_and_not_too_many() -> None:
    budget = Budget.parse("1k..1GFLOPs")
    bands = cost_bands(budget, 5_000, 20_000)
    assert [str(band) for band in bands] == ["5..10kFLOPs", "5..20kFLOPs"]
    assert len(cost_bands(budget)) == MAX_BANDS < math.log2(1e6)
    assert [str(band) for band in cost_bands(Budget.parse("1..4kFLOPs"), 1, 500)] == ["1..1kFLOPs"]
