"""A search space under a budget: the widths of every proposal are solved for, so that it uses the budget.

Fewer than one percent of uniformly drawn networks meet a budget of a few percent of the space. Here a drawn shape keeps
its proportions, kernels, depths and kinds, and its widths are solved for, so that every training is spent on a network
that could be the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from pydantic import ValidationError

from lightcnn.budget import Budget, Cost
from lightcnn.cost import cost
from lightcnn.errors import BudgetError
from lightcnn.space import Gene, SearchSpace, Shape
from lightcnn.spec import NetworkSpec

MIN_USE = 0.9
"""A fitted network uses at least this share of its tightest limit."""
MAX_ATTEMPTS = 100
"""Shapes that are tried until a candidate is taken that uses less."""


@dataclass(frozen=True)
class Candidate:
    """A shape, its network and the cost of that. `violations` are relative to each limit, at most 0 if it is met."""

    shape: Mapping[str, Any]
    spec: NetworkSpec
    cost: Cost
    violations: Mapping[str, float]

    @property
    def key(self) -> str:
        """A digest that is equal for candidates with the same network."""
        return self.spec.digest()


class BudgetedSpace:
    """The space that a searcher draws from: all its candidates meet a budget.

    Raises: BudgetError if even the smallest network of the space breaks the budget.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self._widths = {f"{p}.width": s.width for p, s in space.stages_by_path() if s.width.low < s.width.high}
        self._ladder = {g.name: g.options for g in space.genes() if g.name.endswith(".depth") or g.name == "size"}
        self._require()
        self.covered = self._covers()
        """Whether even the largest network meets the budget, so that networks need not be scaled up to it."""

    def genes(self) -> tuple[Gene, ...]:
        """The genes of the space."""
        return self.space.genes()

    def first(self) -> Shape:
        """The first shape of every search."""
        return self.space.first()

    def draw(self, random: Random) -> Shape:
        """A shape drawn uniformly."""
        return self.space.draw(random)

    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape:
        """A shape near the given one."""
        return self.space.mutate(shape, random)

    def candidate(self, shape: Mapping[str, Any], random: Random) -> Candidate:
        """The fitted shape or, if it cannot be fitted, the first mutation or random shape that can.

        If none of `MAX_ATTEMPTS` shapes uses `MIN_USE` of the budget, this is the one that uses most of it; if none of
        them meets the budget, the smallest network. Raises: BudgetError if that does not meet it either.
        """
        largest: Candidate | None = None
        for attempt in range(1, MAX_ATTEMPTS + 1):
            candidate = self._solve(shape)
            if candidate is not None:
                if self._is_full(candidate):
                    return candidate
                largest = max(largest or candidate, candidate, key=lambda c: self.budget.used_share(c.cost))
            shape = self.mutate(shape, random) if attempt % 10 else self.draw(random)
        largest = largest or self._solve(self.space.smallest(self.budget.used_share))
        if largest is None:
            raise BudgetError(
                f"budget {self.budget}: none of {MAX_ATTEMPTS} shapes of the space {self._name} could be fitted to it; "
                "widen the space or the budget"
            )
        return largest

    def fit(self, shape: Mapping[str, Any]) -> Candidate | None:
        """The shape with widths solved for the budget; None if no widths meet it and use `MIN_USE` of it.

        Depths, and then the input size, step down while the narrowest network breaks the budget, and up while the
        widest uses less than `MIN_USE` of it. One factor for all widths is then solved for, and single widths step up
        until no further step fits. If the budget admits the whole space, the shape stays as it is.
        """
        candidate = self._solve(shape)
        return candidate if candidate is not None and self._is_full(candidate) else None

    def inspect(self, shape: Mapping[str, Any]) -> Candidate:
        """The network of a shape with its widths unchanged, and its cost."""
        network = self.space.spec(shape)
        total = cost(network)
        return Candidate(shape, network, total, self.budget.excess(total))

    def _is_full(self, candidate: Candidate) -> bool:
        """Whether a candidate that meets the budget uses enough of it."""
        return self.covered or self.budget.used_share(candidate.cost) >= MIN_USE

    def _solve(self, shape: Mapping[str, Any]) -> Candidate | None:
        """The network of that shape that uses most of the budget; None if no widths meet the budget."""
        try:
            if not self.covered:
                shape = self._reach(dict(shape))
                shape = self._fill(self._scaled(shape, self._multiplier(shape)), shape)
            candidate = self.inspect(shape)
        except ValidationError:
            return None
        return candidate if self.budget.admits(candidate.cost) else None

    @property
    def _name(self) -> str:
        """The name of the space in messages."""
        return self.space.name or "given"

    def _use(self, shape: Mapping[str, Any]) -> float:
        """The share of its tightest limit that a shape uses."""
        return self.budget.used_share(cost(self.space.spec(shape)))

    def _scaled(self, shape: Mapping[str, Any], factor: float) -> Shape:
        """The shape with all widths multiplied by `factor` and rounded to their steps."""
        return {**shape, **{name: width.nearest(factor * shape[name]) for name, width in self._widths.items()}}

    def _multiplier(self, shape: Mapping[str, Any]) -> float:
        """The largest factor for all widths that breaks no limit, with a relative precision of about 1/4000."""
        low, high = 0.0, 1.0
        while self._use(self._scaled(shape, high)) <= 1 and high < 2**14:
            low, high = high, 2 * high
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self._use(self._scaled(shape, middle)) <= 1 else (low, middle)
        return low

    def _reach(self, shape: Shape) -> Shape:
        """Steps depths, and then the input size, to where widths can meet the budget and use `MIN_USE` of it."""
        while self._use(self._scaled(shape, 0)) > 1 and _step(shape, self._ladder, -1):
            pass
        while self._use(self._scaled(shape, math.inf)) < MIN_USE and _step(shape, self._ladder, 1):
            pass
        return shape

    def _fill(self, shape: Shape, proportions: Mapping[str, Any]) -> Shape:
        """Steps single widths up until no step fits, first the one furthest below its share in `proportions`."""
        growing = dict(self._widths)
        while growing:
            name = min(growing, key=lambda n: (shape[n] / proportions[n], n))
            wider = {**shape, name: shape[name] + growing[name].step}
            if wider[name] <= growing[name].high and self._use(wider) <= 1:
                shape = wider
            else:
                del growing[name]
        return shape

    def _cost(self, shape: Shape) -> Cost:
        return cost(self.space.spec(shape))

    def _covers(self) -> bool:
        """Whether the largest network meets all limits, none of which has a lower limit."""
        return all(
            limit.lower is None
            and limit.resource.largest_count(self._cost(self.space.largest(limit.resource.largest_count)))
            <= limit.upper
            for limit in self.budget.limits
        )

    def _require(self) -> None:
        """Raises: BudgetError if the smallest network breaks the budget, or the largest is below a lower limit."""
        for limit in self.budget.limits:
            most = limit.resource.largest_count
            least = most(self._cost(self.space.smallest(most)))
            if least > limit.upper:
                raise BudgetError(
                    f"budget {self.budget}: the smallest network of the space {self._name} needs {least} "
                    f"{limit.resource.label}, over the limit of {limit.upper}; raise the limit, or use a space with "
                    f"smaller inputs than {self.space.size[0]} or narrower stages"
                )
            largest = self._cost(self.space.largest(most))
            reached = getattr(largest, limit.resource.lower)
            if limit.lower is not None and reached < limit.lower:
                raise BudgetError(
                    f"budget {self.budget}: the largest network of the space {self._name} has {reached} "
                    f"{limit.resource.label}, below the lower limit of {limit.lower}; reduce it or widen the space"
                )
        joint = self._cost(self.space.smallest(self.budget.used_share))
        if self.budget.used_share(joint) > 1:
            raise BudgetError(
                f"budget {self.budget}: no network in the space {self._name} meets all limits at once; "
                f"the closest costs {joint}; raise the limit that it breaks"
            )


def _step(shape: Shape, ladder: Mapping[str, tuple[Any, ...]], sign: int) -> bool:
    """Moves the gene with the most options left that way by one, the size last; False if none is left."""

    def options_left(name: str) -> int:
        index = ladder[name].index(shape[name])
        return len(ladder[name]) - 1 - index if sign > 0 else index

    for group in ([name for name in ladder if name != "size"], ["size"] if "size" in ladder else []):
        name = max(group, key=options_left, default=None)
        if name is not None and options_left(name):
            shape[name] = ladder[name][ladder[name].index(shape[name]) + sign]
            return True
    return False
