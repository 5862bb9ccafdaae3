"""A search space under a budget: every proposal is solved for the widths that meet the limits and fill the tightest.

Of uniformly drawn networks under one percent meet a budget of a few percent of the space. Here a drawn shape keeps its
proportions, kernels, depths and kinds, and its widths are solved for, so that every training is spent on a network
that could be the answer.
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

FULL = 0.9
"""A fitted network uses at least this share of the tightest limit."""


@dataclass(frozen=True)
class Candidate:
    """A shape, the network it became, and what that costs. `violations` are relative, at most 0 where a limit holds."""

    shape: Mapping[str, Any]
    spec: NetworkSpec
    cost: Cost
    violations: Mapping[str, float]

    @property
    def key(self) -> str:
        """Equal for candidates that are the same network."""
        return self.spec.digest()


class BudgetedSpace:
    """What a searcher draws from: proposals of a space that meet a budget.

    Raises: BudgetError where even the smallest network of the space breaks the budget.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self._widths = {f"{p}.width": s.width for p, s in space.stages_by_path() if s.width.low < s.width.high}
        self._ladder = {g.name: g.options for g in space.genes() if g.name.endswith(".depth") or g.name == "size"}
        self._require()
        self.covered = self._covers()
        """Whether even the largest network leaves every limit unmet, so that there is nothing to fill."""

    def genes(self) -> tuple[Gene, ...]:
        """The genes of the space."""
        return self.space.genes()

    def first(self) -> Shape:
        """The shape that every search tries first."""
        return self.space.first()

    def draw(self, random: Random) -> Shape:
        """A shape drawn uniformly."""
        return self.space.draw(random)

    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape:
        """A shape near the given one."""
        return self.space.mutate(shape, random)

    def candidate(self, shape: Mapping[str, Any], random: Random) -> Candidate:
        """The fitted shape, or where it cannot fit the first mutation or draw that can.

        Where 100 shapes in a row do not fill the budget, the one of them that fills it most, and where none of them
        even meets it, the smallest network. Raises: BudgetError where that does not either.
        """
        fullest: Candidate | None = None
        for attempt in range(1, 101):
            found = self._solve(shape)
            if found is not None:
                if self.covered or self.budget.used_share(found.cost) >= FULL:
                    return found
                fullest = max(fullest or found, found, key=lambda c: self.budget.used_share(c.cost))
            shape = self.mutate(shape, random) if attempt % 10 else self.draw(random)
        fullest = fullest or self._solve(self.space.smallest(self.budget.used_share))
        if fullest is None:
            raise BudgetError(
                f"budget {self.budget}: 100 shapes of the space {self._name} in a row could not be made to meet it; "
                "widen the space or the budget"
            )
        return fullest

    def fit(self, shape: Mapping[str, Any]) -> Candidate | None:
        """The shape with its widths solved for the budget; None where none meet it and fill it to `FULL`.

        Depths, and then the input size, step down while the narrowest network breaks the budget, and up while the
        widest leaves more than a tenth of it unused. One multiplier over all widths is then solved for, and single
        widths step up until no further step fits. Where the budget covers the whole space, nothing is filled.
        """
        candidate = self._solve(shape)
        full = candidate is not None and (self.covered or self.budget.used_share(candidate.cost) >= FULL)
        return candidate if full else None

    def _solve(self, shape: Mapping[str, Any]) -> Candidate | None:
        """The fullest network of that shape that meets the budget; None where none does."""
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
        return self.space.name or "given"

    def inspect(self, shape: Mapping[str, Any]) -> Candidate:
        """The network of a shape with its widths as they stand, and what it costs."""
        network = self.space.spec(shape)
        total = cost(network)
        return Candidate(shape, network, total, self.budget.excess(total))

    def _use(self, shape: Mapping[str, Any]) -> float:
        return self.budget.used_share(cost(self.space.spec(shape)))

    def _scaled(self, shape: Mapping[str, Any], factor: float) -> Shape:
        return {**shape, **{name: width.nearest(factor * shape[name]) for name, width in self._widths.items()}}

    def _multiplier(self, shape: Mapping[str, Any]) -> float:
        """The largest factor for all widths that breaks no limit, to one part in some thousands."""
        low, high = 0.0, 1.0
        while self._use(self._scaled(shape, high)) <= 1 and high < 2**14:
            low, high = high, 2 * high
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self._use(self._scaled(shape, middle)) <= 1 else (low, middle)
        return low

    def _reach(self, shape: Shape) -> Shape:
        """The shape with depths, then the size, stepped to where widths can meet the budget and fill it."""
        while self._use(self._scaled(shape, 0)) > 1 and _step(shape, self._ladder, -1):
            pass
        while self._use(self._scaled(shape, math.inf)) < FULL and _step(shape, self._ladder, 1):
            pass
        return shape

    def _fill(self, shape: Shape, wanted: Mapping[str, Any]) -> Shape:
        """Single widths stepped up, the one furthest below its wanted share first, until no step fits."""
        growing = dict(self._widths)
        while growing:
            name = min(growing, key=lambda n: (shape[n] / wanted[n], n))
            wider = {**shape, name: shape[name] + growing[name].step}
            if wider[name] <= growing[name].high and self._use(wider) <= 1:
                shape = wider
            else:
                del growing[name]
        return shape

    def _cost(self, shape: Shape) -> Cost:
        return cost(self.space.spec(shape))

    def _covers(self) -> bool:
        return all(
            limit.lower is None
            and limit.resource.largest_count(self._cost(self.space.largest(limit.resource.largest_count)))
            <= limit.upper
            for limit in self.budget.limits
        )

    def _require(self) -> None:
        """Refuses a budget that the smallest network misses, or the largest a lower edge. Raises: BudgetError."""
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
                    f"{limit.resource.label}, under the lower edge of {limit.lower}; lower the edge or widen the space"
                )
        joint = self._cost(self.space.smallest(self.budget.used_share))
        if self.budget.used_share(joint) > 1:
            raise BudgetError(
                f"budget {self.budget}: no network of the space {self._name} was found that meets all limits at once; "
                f"the nearest costs {joint}; raise the limit it breaks"
            )


def _step(shape: Shape, ladder: Mapping[str, tuple[Any, ...]], sign: int) -> bool:
    """Moves the gene that has most room that way by one option, the size last; False where none has any."""

    def room(name: str) -> int:
        index = ladder[name].index(shape[name])
        return len(ladder[name]) - 1 - index if sign > 0 else index

    for group in ([name for name in ladder if name != "size"], ["size"] if "size" in ladder else []):
        name = max(group, key=room, default=None)
        if name is not None and room(name):
            shape[name] = ladder[name][ladder[name].index(shape[name]) + sign]
            return True
    return False
