"""Whether a space reaches the lower limits of a budget."""

import pytest

from lightcnn import Budget, SearchSpace
from lightcnn.device_cost import device_cost
from lightcnn.errors import BudgetError
from lightcnn.lower_limits import find_lack, require_reached

MICRO = SearchSpace.load("micro").for_data(1, 10, 28)
LARGEST = device_cost(MICRO.spec(MICRO.largest())).macs


@pytest.mark.parametrize("budget", ["1MFLOPs", "0.2..4MFLOPs", "1..2MFLOPs,50kparams", f"1..{LARGEST}FLOPs"])
def test_lower_limits_within_reach_lack_nothing(budget):
    assert find_lack(MICRO, Budget.parse(budget)) is None
    require_reached(MICRO, Budget.parse(budget))


def test_a_lower_limit_equal_to_the_largest_network_is_reached_and_one_more_is_not():
    assert find_lack(MICRO, Budget.parse(f"{LARGEST}..{2 * LARGEST}FLOPs")) is None
    lack = find_lack(MICRO, Budget.parse(f"{LARGEST + 1}..{2 * LARGEST}FLOPs"))
    assert lack is not None and lack.count == LARGEST and lack.limit.lower == LARGEST + 1


def test_the_first_lower_limit_out_of_reach_is_stated():
    budget = Budget.parse("0.2..4MFLOPs,90..99Mparams")
    with pytest.raises(
        BudgetError, match=r"the largest network of the space micro has \d+ .*below the lower limit of 9"
    ):
        require_reached(MICRO, budget)
