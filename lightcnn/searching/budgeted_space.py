"""A search space under a budget: the widths of every proposal are solved for, so that it uses the budget.

Fewer than one percent of uniformly drawn networks meet a budget of a few percent of the space. Here a drawn shape keeps
its proportions, kernels, depths and kinds, and its widths are solved for, so that every training is spent on a network
that could be the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from random import Random
from typing import Any

from pydantic import ValidationError

from lightcnn.budget import LATENCY_RESOURCES, Budget, Cost, Resource
from lightcnn.cost import cost, layer_extremes
from lightcnn.cost_range import cost_bands, cost_range
from lightcnn.device_cost import MAX_DIMENSION, device_cost
from lightcnn.errors import BudgetError
from lightcnn.latency_model import LatencyModel, latency_features, with_latencies
from lightcnn.lower_limits import require_reached
from lightcnn.program import program
from lightcnn.searching.widths.solver import WidthSolver
from lightcnn.space import Gene, SearchSpace, Shape
from lightcnn.spec import NetworkSpec

MIN_USE = 0.5
"""A proposed network uses at least this share of its tightest limit; a lower limit of the budget replaces it."""
MIN_CHANNELS, MAX_LAYER_SHARE = 6, 0.4
"""A balanced network has no narrower convolution, and no layer with a larger share of the multiply-adds."""
MAX_UNBALANCED = 20
"""Shapes that are tried until an unbalanced network is proposed."""
MAX_MUTATIONS = 9
"""Mutations of a shape that cannot be fitted or is not balanced, until random shapes are tried."""
MAX_SOLUTIONS = 4
"""Times that the widths of a shape are solved for, each time for a smaller share, if its arena cannot be packed."""
MAX_ATTEMPTS = 100
"""Shapes that are tried until a candidate is taken that uses less."""
SMALL_SPACE = 1_000
"""Shapes up to which a space is small: a search may compare all of them."""
MAX_DRAWS = 2_000
"""Random shapes that are tried before a budget is refused to which neither these nor the starts can be fitted."""


@dataclass(frozen=True)
class Candidate:
    """A shape, its network and the cost of that. `violations` are relative to each limit, at most 0 if it is met."""

    shape: Mapping[str, Any]
    spec: NetworkSpec
    cost: Cost
    violations: Mapping[str, float]

    @cached_property
    def key(self) -> str:
        """A digest that is equal for candidates with the same network."""
        return self.spec.digest()


class BudgetedSpace:
    """The space that a searcher draws from: all its candidates meet a budget. Images have so many `pixels`, if known.

    `latencies` predict the times that the budget limits; networks use at least `min_use` of it, by default the lower
    limit; the first one is fitted to a share `start_use` of it. `pareto` if the lower limit is the lower end of a
    Pareto front: `bands` are then spaces with ascending parts of its range, in which a search proposes in turn.
    Raises: BudgetError if even the smallest network of the space breaks the budget, or for a front over a budget
    without a range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        pixels: int | None = None,
        latencies: Sequence[LatencyModel] = (),
        *,
        min_use: float | None = None,
        start_use: float = 1.0,
        pareto: bool = False,
    ) -> None:
        self.space = space
        self.budget = budget
        self.latencies = latencies
        self._solver = WidthSolver(space, budget, latencies)
        self._starts = space.start_shapes(pixels)
        self._start_use = start_use
        self._require()
        self.covered = self._covers()
        """Whether even the largest network meets the budget, so that networks need not be scaled up to it."""
        lower = [limit.lower / limit.upper for limit in budget.limits if limit.lower is not None]
        self._min_use = max(lower, default=MIN_USE) if min_use is None else min_use
        self.bands = self._bands(pixels) if pareto else ()

    def _bands(self, pixels: int | None) -> tuple[BudgetedSpace, ...]:
        """Their networks use at least `MIN_USE`, those of the first one at least the lower end of the range."""
        by = cost_range(self.budget).resource.largest_count
        ends = (by(self.cost_of(shape)) for shape in (self._smallest_by(by), self._largest_by(by)))
        budgets = cost_bands(self.budget, *ends)
        uses = [None, *[MIN_USE] * (len(budgets) - 1)]
        return tuple(
            BudgetedSpace(self.space, budget, pixels, self.latencies, min_use=use)
            for budget, use in zip(budgets, uses, strict=True)
        )

    def measure(self, network: NetworkSpec) -> Cost:
        """The cost of a network, with flash and arena, and times, if the budget limits them."""
        total = device_cost(network) if self.budget.limits_device else cost(network)
        if not self.latencies:
            return total
        features = latency_features(program(network))
        return with_latencies(total, {model.resource: model.bound(features) for model in self.latencies})

    def genes(self) -> tuple[Gene, ...]:
        """The genes of the space."""
        return self.space.genes()

    def limited(self, trials: int | None) -> int | None:
        """The number of trials: 1 if the space has a single network."""
        return trials if self.genes() else 1

    def most_networks(self, trials: int | None) -> int | None:
        """The most networks that so many trials compare: all shapes of a small space if there are no more of them."""
        shapes = math.prod(len(gene.options) for gene in self.genes())
        return shapes if shapes < (trials or SMALL_SPACE) else trials

    def first(self) -> Shape:
        """The first shape of every search."""
        return dict(self._starts[0])

    def first_network(self) -> Candidate | None:
        """The network of that shape; None if it cannot be fitted to its share of the budget."""
        return self.fit(self.first(), self._start_use)

    def start_shapes(self) -> tuple[Shape, ...]:
        """The shapes that every search tries first, at least one."""
        return tuple(dict(start) for start in self._starts)

    def draw(self, random: Random) -> Shape:
        """A random shape, fitted to a share of the budget that is drawn uniformly."""
        return dict((self._chosen(self._draws(random)) or self._known).shape)

    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape:
        """A shape near the given one that uses enough of the budget."""
        chosen = self._chosen(self._mutations(shape, random, MAX_UNBALANCED))
        return self.space.mutate(shape, random) if chosen is None else dict(chosen.shape)

    def candidate(self, shape: Mapping[str, Any], random: Random) -> Candidate:
        """The network of a shape if it uses enough of the budget, else the shape fitted to the whole budget.

        A start of the space is always fitted to the whole, the first one to its share. If a shape cannot be fitted or
        is not balanced, this is the first of its mutations, and then of random shapes, that can and is. If none of
        `MAX_ATTEMPTS` uses enough of the budget, it is the one that uses most of it; if none meets the budget, one
        that does. Raises: BudgetError if there is none.
        """
        start = self.first_network() if dict(shape) == self.first() else None
        if start is None and dict(shape) in self._starts:
            start = self.fit(shape)
        if start is not None:
            return start
        mutations = self._mutations(shape, random, MAX_MUTATIONS)
        return self._chosen(chain([self._nearest(shape)], mutations, self._draws(random))) or self._known

    def _draws(self, random: Random) -> Iterator[Candidate | None]:
        """Random shapes, each fitted to a share of the budget that is drawn uniformly."""
        while True:
            yield self._solve(self.space.draw(random), random.uniform(self._min_use, 1))

    def _mutations(self, shape: Mapping[str, Any], random: Random, count: int) -> Iterator[Candidate | None]:
        """Mutations of a shape."""
        for _ in range(count):
            yield self._nearest(self.space.mutate(shape, random))

    def _chosen(self, candidates: Iterable[Candidate | None]) -> Candidate | None:
        """The first candidate that uses enough of the budget and is balanced.

        If none of `MAX_UNBALANCED` is, it is the first that uses enough; if none of `MAX_ATTEMPTS` does, the one that
        uses most; None if no candidate meets the budget.
        """
        full: Candidate | None = None
        largest: Candidate | None = None
        for attempt, candidate in enumerate(islice(candidates, MAX_ATTEMPTS), start=1):
            if candidate is not None and self._is_full(candidate):
                if self.is_balanced(candidate):
                    return candidate
                full = full or candidate
            elif candidate is not None:
                largest = max(largest or candidate, candidate, key=lambda c: self.budget.used_share(c.cost))
            if full is not None and attempt >= MAX_UNBALANCED:
                break
        return full or largest

    def _nearest(self, shape: Mapping[str, Any]) -> Candidate | None:
        """The network of a shape if it meets the budget and uses enough of it, else that with solved widths."""
        try:
            candidate = self.inspect(shape)
        except ValidationError:
            return None
        admitted = self.budget.admits(candidate.cost) and self._is_full(candidate)
        return candidate if admitted else self._solve(shape)

    @cached_property
    def _known(self) -> Candidate:
        """A network that meets the budget: the smallest, else the first, else a random one.

        It is proposed if none of `MAX_ATTEMPTS` shapes can be fitted to the budget. Raises: BudgetError.
        """
        known = self._solve(self._smallest_by(self.budget.used_share)) or self.first_network()
        if known is None:  # few networks are within a narrow budget
            known = next((drawn for drawn in islice(self._draws(Random(0)), MAX_DRAWS) if drawn is not None), None)
        if known is None:
            raise BudgetError(
                f"budget {self.budget}: none of {MAX_DRAWS} shapes of the space {self.name} could be fitted to it; "
                "widen the space or the budget"
            )
        return known

    def fit(self, shape: Mapping[str, Any], share: float = 1.0) -> Candidate | None:
        """The shape with widths solved for a share of the budget; None if no widths meet the budget and use enough.

        If the budget admits the whole space, the shape stays as it is.
        """
        candidate = self._solve(shape, share)
        return candidate if candidate is not None and self._is_full(candidate) else None

    def inspect(self, shape: Mapping[str, Any]) -> Candidate:
        """The network of a shape with its widths unchanged, and its cost."""
        return self._candidate(shape, self.space.spec(shape))

    def features(self, candidate: Candidate) -> list[float]:
        """Logarithms of multiply-adds, parameters, peak of activations, multiply-adds of each stage, and input size."""
        total = candidate.cost
        stages = self.space.stage_macs(candidate.shape)
        counts = (total.macs, total.params, total.peak_activations, *stages, candidate.spec.input[1])
        return [math.log1p(count) for count in counts]

    def is_balanced(self, candidate: Candidate) -> bool:
        """Whether no convolution is narrower than `MIN_CHANNELS` and no layer has over `MAX_LAYER_SHARE` of all."""
        narrowest, largest = layer_extremes(candidate.spec)
        return narrowest >= MIN_CHANNELS and largest <= MAX_LAYER_SHARE * candidate.cost.macs

    def _candidate(self, shape: Mapping[str, Any], network: NetworkSpec) -> Candidate:
        total = self.measure(network)
        return Candidate(shape, network, total, self.budget.excess(total))

    def _is_full(self, candidate: Candidate) -> bool:
        """Whether a candidate that meets the budget uses enough of it."""
        return self.covered or self.budget.used_share(candidate.cost) >= self._min_use

    def _solve(self, shape: Mapping[str, Any], share: float = 1.0) -> Candidate | None:
        """The network of that shape that uses most of that share; None if no widths meet the budget."""
        candidate: Candidate | None = None
        for _ in range(MAX_SOLUTIONS):
            previous, candidate = candidate, self._solved(shape, share)
            if candidate is None or self.budget.admits(candidate.cost):
                return candidate
            if not (self.budget.limits_device or self.latencies) or (
                previous is not None and previous.cost == candidate.cost
            ):
                return None
            share /= self.budget.used_share(candidate.cost)
        return None

    def _solved(self, shape: Mapping[str, Any], share: float) -> Candidate | None:
        """The network of that shape that uses about that share; None if it is not a valid network."""
        try:
            solution = (shape, self.space.spec(shape)) if self.covered else self._solver.solve(shape, share)
        except ValidationError:
            return None
        return None if solution is None else self._candidate(*solution)

    @property
    def name(self) -> str:
        """The name of the space in messages."""
        return self.space.name or "given"

    def cost_of(self, shape: Mapping[str, Any]) -> Cost:
        """The cost of a shape's network, as `measure`."""
        return self.measure(self.space.spec(shape))

    def _smallest_by(self, by: Callable[[Cost], float]) -> Shape:
        return self.space.smallest(by, self.measure)

    def _largest_by(self, by: Callable[[Cost], float]) -> Shape:
        return self.space.largest(by, self.measure)

    def _covers(self) -> bool:
        """Whether the largest networks meet all limits, none of which has a lower limit."""
        return self.budget.admits(self.cost_of(self.space.largest())) and all(
            limit.lower is None
            and limit.resource.largest_count(self.cost_of(self._largest_by(limit.resource.largest_count)))
            <= limit.upper
            for limit in self.budget.limits
        )

    def _predicted(self, resource: Resource) -> str:
        """What is predicted of the fastest network for a latency, before the number that counts against the limit."""
        model = next(model for model in self.latencies if model.resource == resource.name)
        fastest = self.space.spec(self._smallest_by(resource.largest_count))
        time = model.predict(latency_features(program(fastest)))
        return f"is predicted to need {time:.0f} us, with the error of predictions ({model.error:.0%}) up to"

    def _require(self) -> None:
        """Raises: BudgetError if the smallest network breaks the budget, or the largest is below a lower limit."""
        for limit in self.budget.limits:
            most = limit.resource.largest_count
            least = most(self.cost_of(self._smallest_by(most)))
            if math.isinf(least):
                raise BudgetError(
                    f"budget {self.budget}: the generated C can hold no network of the space {self.name}: none may "
                    f"have more than {MAX_DIMENSION} channels, rows or columns; use narrower stages"
                )
            if least > limit.upper:
                needs, remedy = "needs", "raise the limit"
                if limit.resource in LATENCY_RESOURCES:
                    needs = self._predicted(limit.resource)
                    remedy += ", search again when no other program runs"
                raise BudgetError(
                    f"budget {self.budget}: the smallest network of the space {self.name} {needs} {least} "
                    f"{limit.resource.label}, over the limit of {limit.upper}; {remedy}, or use a space with "
                    f"smaller inputs than {self.space.size[0]} or narrower stages"
                )
        require_reached(self.space, self.budget, self.measure)
        joint = self.cost_of(self._smallest_by(self.budget.used_share))
        if self.budget.used_share(joint) > 1:
            raise BudgetError(
                f"budget {self.budget}: no network in the space {self.name} meets all limits at once; "
                f"the closest costs {joint}; raise the limit that it breaks"
            )
