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
PRECISION, MAX_STEPS = 1.03, 24
"""The factor for all widths is solved for up to this ratio; single widths are stepped up from there."""
EXPONENT = 0.5
"""The first guess of the power of a share by which widths change it; 0.5 took the fewest steps of 0.5 to 0.85."""
MAX_FACTOR = 2.0**14
"""The factor that makes every width the widest of its stage."""
MAX_ATTEMPTS = 100
"""Shapes that are tried until a candidate is taken that uses less."""


Widths = dict[str, int]
"""The width of the stem and of each stage, by the name of its gene."""


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

    def features(self, candidate: Candidate) -> list[float]:
        """Logarithms of multiply-adds, parameters and peak of activations, and of the multiply-adds of each stage."""
        total = candidate.cost
        stages = self.space.stage_macs(candidate.shape)
        return [math.log1p(count) for count in (total.macs, total.params, total.peak_activations, *stages)]

    def _is_full(self, candidate: Candidate) -> bool:
        """Whether a candidate that meets the budget uses enough of it."""
        return self.covered or self.budget.used_share(candidate.cost) >= MIN_USE

    def _solve(self, shape: Mapping[str, Any]) -> Candidate | None:
        """The network of that shape that uses most of the budget; None if no widths meet the budget."""
        try:
            if not self.covered:
                shape = dict(shape)
                network = self._reach(shape)
                shape |= self._fill(network, self._scaled(shape, self._multiplier(network, shape)), shape)
            candidate = self.inspect(shape)
        except ValidationError:
            return None
        return candidate if self.budget.admits(candidate.cost) else None

    @property
    def _name(self) -> str:
        """The name of the space in messages."""
        return self.space.name or "given"

    def _scaled(self, shape: Mapping[str, Any], factor: float) -> Widths:
        """The widths of a shape, multiplied by `factor` and rounded to their steps."""
        return {name: width.nearest(factor * shape[name]) for name, width in self._widths.items()}

    def _multiplier(self, network: _WidthMeter, shape: Mapping[str, Any]) -> float:
        """A factor for all widths that breaks no limit, within `PRECISION` of the largest such factor.

        Counts are about a power of the widths, so the next factor is interpolated between the logarithms of the bounds.
        """
        low, low_use, high, high_use, factor = 0.0, 0.0, math.inf, math.inf, 1.0
        for _ in range(MAX_STEPS):
            use = network.use(self._scaled(shape, factor))
            if use <= 1:
                low, low_use = factor, use
            else:
                high, high_use = factor, use
            if high <= PRECISION * low or low >= MAX_FACTOR:
                break
            factor = _next_factor(low, low_use, high, high_use)
        return low

    def _reach(self, shape: Shape) -> _WidthMeter:
        """Steps depths, and then the input size, to where widths can meet the budget and use `MIN_USE` of it.

        Returns the meter of the shape as it then is. Raises: ValidationError if that is not a valid network.
        """
        network = _WidthMeter(self.space, self.budget, shape)
        while network.use(self._scaled(shape, 0)) > 1 and _step(shape, self._ladder, -1):
            network = _WidthMeter(self.space, self.budget, shape)
        while network.use(self._scaled(shape, math.inf)) < MIN_USE and _step(shape, self._ladder, 1):
            network = _WidthMeter(self.space, self.budget, shape)
        return network

    def _fill(self, network: _WidthMeter, widths: Widths, proportions: Mapping[str, Any]) -> Widths:
        """Steps single widths up until no step fits, first the one furthest below its share in `proportions`."""
        growing = dict(self._widths)
        while growing:
            name = min(growing, key=lambda n: (widths[n] / proportions[n], n))
            wider = {**widths, name: widths[name] + growing[name].step}
            if wider[name] <= growing[name].high and network.use(wider) <= 1:
                widths = wider
            else:
                del growing[name]
        return widths

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


class _WidthMeter:
    """Measures a shape with other widths. Its own network is validated once, and changed in place from then on.

    Raises: ValidationError if the shape is not a valid network; its widths do not matter for that.
    """

    def __init__(self, space: SearchSpace, budget: Budget, shape: Mapping[str, Any]) -> None:
        self._budget = budget
        self._network, units = space.spec_with_units(shape)
        self._fields = {f"{path}.width": unit.__dict__ for path, unit in units.items()}

    def use(self, widths: Widths) -> float:
        """The share of its tightest limit that the network uses with those widths."""
        for name, width in widths.items():
            self._fields[name]["width"] = width  # frozen for everyone else; validating would take 3/4 of a fit
        return self._budget.used_share(cost(self._network))


def _next_factor(low: float, low_use: float, high: float, high_use: float) -> float:
    """The factor to try between `low`, which uses at most the budget, and `high`, which uses more; one may be open.

    Near a bound it is `PRECISION` away from it, so that the interval closes if the root is that near.
    """
    if math.isinf(high):
        return float(min(MAX_FACTOR, low * max(PRECISION, low_use**-EXPONENT)))
    if not low:
        return float(high / max(PRECISION, high_use**EXPONENT))
    root = low * (high / low) ** (-math.log(low_use) / math.log(high_use / low_use))
    return float(min(max(root, low * PRECISION), high / PRECISION))


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
