"""Whether the largest networks of a space reach the lower limits of a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lightcnn.budget import Budget, Cost, Limit
from lightcnn.device_cost import device_cost
from lightcnn.errors import BudgetError
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec


@dataclass(frozen=True)
class Lack:
    """A lower limit, and the `count` of the largest network of a space, which is below it."""

    limit: Limit
    count: float

    def __str__(self) -> str:
        return f"has {self.count} {self.limit.resource.label}, below the lower limit of {self.limit.lower}"


def find_lack(space: SearchSpace, budget: Budget, measure: Callable[[NetworkSpec], Cost] = device_cost) -> Lack | None:
    """The first lower limit of a budget that no network of a space reaches; None if all are reached.

    `measure` computes the cost of a network.

    Example:
        >>> from lightcnn import Budget, SearchSpace
        >>> print(find_lack(SearchSpace.load("micro").for_data(1, 10, 28), Budget.parse("5..6GFLOPs")).limit)
        5..6GFLOPs
    """
    for limit in budget.limits:
        if limit.lower is None:
            continue
        count_of = limit.resource.lower_count
        count = count_of(measure(space.spec(space.largest(count_of, measure))))
        if count < limit.lower:
            return Lack(limit, count)
    return None


def require_reached(space: SearchSpace, budget: Budget, measure: Callable[[NetworkSpec], Cost] = device_cost) -> None:
    """Raises: BudgetError if no network of a space reaches a lower limit of a budget."""
    if lack := find_lack(space, budget, measure):
        raise BudgetError(
            f"budget {budget}: the largest network of the space {space.name or 'given'} {lack}; "
            "reduce it or widen the space"
        )
