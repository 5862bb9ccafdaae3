"""Times networks of a space before a search, and fits its latency model: measured where it will predict.

First come networks from the smallest to about the limit; then those that the search would propose within 0.3 to 1.3
times the limit, by the rates that are known so far. Where PyTorch and ONNX Runtime both have a limit, each network is
timed in both, so that both models are made from networks that meet the one limit and the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random

from lightcnn.budget import LATENCY_RESOURCES, MACS, Budget, Limit
from lightcnn.cost import cost
from lightcnn.errors import BudgetError
from lightcnn.latency_model import RUNTIME_OF, LatencyModel
from lightcnn.measurement.latency_fit import NetworkTimer, fit_latency, fit_rates, least_seconds
from lightcnn.progress import Progress
from lightcnn.searching.budgeted_space import MIN_USE, BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

NETWORKS = 30
"""Networks that are timed: in `micro`, the stated error was 33 % after 15, 22 % after 20, 16 % after 30 and after 45
(docs/reference/measurements.md#latency-within-a-search)."""
MIN_FIRST, MIN_NEAR = 3, 6
"""Networks from the smallest on, and networks near the limit, that are timed however long it takes."""
STEP = 1.6
"""Each of the first networks has so many times the multiply-adds of the one before, until one is over the limit."""
FIRST_SHARE = 0.5
"""Share of the seconds that timing should take after which no larger ones of the first networks are tried: each has to
be exported for ONNX Runtime, and others near the limit follow, by the rates that are known then."""
LARGEST_ERROR = 0.5
"""With a larger error, more networks are timed, and all of them again: other programs were running, or one of the
networks has an operator that no other has."""
LONGEST = 1.5
"""No more are timed after so many times the seconds that timing should take."""
MAX_DRAWS = 5
"""Random shapes of which a network that is timed is chosen."""
LOWEST_SHARE, HIGHEST_SHARE = 0.3, 1.3
"""The others are proposed within this to that share of the limit, of which they use half or more."""


def fitted_models(
    space: SearchSpace, budget: Budget, seed: int, progress: Progress, seconds: float
) -> tuple[LatencyModel, ...]:
    """The models of the times that a budget limits, in its order, from `NETWORKS` networks that are timed for all.

    Fewer are timed so that it takes about `seconds`; it takes half as long again if an error is over `LARGEST_ERROR`.
    Raises: BudgetError if all of them take longer than a limit, whatever would be predicted; LightcnnError if ONNX
    Runtime cannot run a network.
    """
    start, random = time.monotonic(), Random(seed)
    limits = [limit for limit in budget.limits if limit.resource in LATENCY_RESOURCES]
    timed = _TimedNetworks(space, limits)
    smallest = space.spec(space.smallest())
    for network in islice(_growing(space, smallest, random), NETWORKS // 2):
        progress("timing networks", len(timed.networks), NETWORKS)
        timed.add(network)
        late = time.monotonic() - start > FIRST_SHARE * seconds
        if len(timed.networks) >= MIN_FIRST and (late or timed.is_over(HIGHEST_SHARE)):
            break
    # a Pareto front begins at the lower limit
    lowest = min(LOWEST_SHARE, *((limit.lower or limit.upper) / limit.upper for limit in limits))

    def add_near() -> None:
        progress("timing networks", len(timed.networks), NETWORKS)
        share = lowest * (HIGHEST_SHARE / lowest) ** random.random()
        near = _proposed(space, budget, share, timed.rates(), random)
        timed.add(near or _network(space, round(STEP * cost(smallest).macs), random) or smallest)

    least = len(timed.networks) + MIN_NEAR
    while len(timed.networks) < least or timed.affords_another(seconds, time.monotonic() - start):
        add_near()
    models = timed.models(seconds - (time.monotonic() - start), progress)
    while (
        max(model.error for model in models) > LARGEST_ERROR
        and len(timed.networks) < NETWORKS
        and time.monotonic() - start < LONGEST * seconds
    ):
        for _ in range(min(MIN_NEAR, NETWORKS - len(timed.networks))):
            add_near()
        models = timed.models(LONGEST * seconds - (time.monotonic() - start), progress)
    return models


class _TimedNetworks:
    """Networks of a space, each timed roughly for every limit as it is added, and all of them in turns for models."""

    def __init__(self, space: SearchSpace, limits: Sequence[Limit]) -> None:
        self.networks: list[NetworkSpec] = []
        self._space, self._limits = space, limits
        self._timers = [NetworkTimer(RUNTIME_OF[limit.resource.name]) for limit in limits]
        self._rough: list[list[float]] = [[] for _ in limits]

    def add(self, network: NetworkSpec) -> None:
        self.networks.append(network)
        for timer, rough in zip(self._timers, self._rough, strict=True):
            rough.append(timer.add(network))

    def is_over(self, share: float) -> bool:
        """Whether the last network takes longer than a share of one of the limits."""
        return any(rough[-1] > share * limit.upper for rough, limit in zip(self._rough, self._limits, strict=True))

    def rates(self) -> tuple[LatencyModel, ...]:
        """Models of the rough times."""
        return tuple(
            fit_rates(self.networks, rough, timer.runtime)
            for timer, rough in zip(self._timers, self._rough, strict=True)
        )

    def affords_another(self, seconds: float, spent: float) -> bool:
        """Whether one network more can be timed in so many seconds, if the others took `spent` until their rough times.

        In the end, each is timed for at least as long as the rounds of the slowest of them take, or those of networks
        at the limit if these are faster.
        """
        count = len(self.networks) + 1
        slowest = (min(max(rough), limit.upper) for rough, limit in zip(self._rough, self._limits, strict=True))
        rounds = sum(least_seconds(microseconds) for microseconds in slowest)
        return count <= NETWORKS and spent * count / (count - 1) + count * rounds <= seconds

    def models(self, seconds: float, progress: Progress) -> tuple[LatencyModel, ...]:
        """The models of times in turns, which are measured in about so many `seconds`, or in the fewest that suffice.

        Raises: BudgetError if all networks take longer than a limit.
        """
        each = seconds / len(self._limits)
        return tuple(
            self._model(timer, limit, each, progress) for timer, limit in zip(self._timers, self._limits, strict=True)
        )

    def _model(self, timer: NetworkTimer, limit: Limit, seconds: float, progress: Progress) -> LatencyModel:
        measured = timer.times(progress, seconds)
        if min(measured) > limit.upper:
            raise BudgetError(
                f"budget {Budget((limit,))}: the fastest of {len(measured)} networks of the space "
                f"{self._space.name or 'given'} takes {min(measured) / 1000:.3f} ms for one image on this machine; "
                "raise the limit, or use a space with smaller inputs or narrower stages"
            )
        return fit_latency(self.networks, measured, timer.runtime)


def _growing(space: SearchSpace, smallest: NetworkSpec, random: Random) -> Iterator[NetworkSpec]:
    """The smallest network, and networks of more and more multiply-adds up to the largest."""
    yield smallest
    macs, largest = float(cost(smallest).macs), cost(space.spec(space.largest())).macs
    while (macs := macs * STEP) < largest:
        yield _network(space, round(macs), random) or smallest


def _network(space: SearchSpace, macs: int, random: Random) -> NetworkSpec | None:
    """A random network of about so many multiply-adds, if there is one."""
    return _drawn(space, Budget((Limit(MACS, max(1, macs)),)), (), random)


def _proposed(
    space: SearchSpace, budget: Budget, share: float, rates: tuple[LatencyModel, ...], random: Random
) -> NetworkSpec | None:
    """A random network within a share of the limits of times by the rates, and within the other upper limits."""

    def near(limit: Limit) -> Limit:
        part = share if limit.resource in LATENCY_RESOURCES else 1
        return replace(limit, lower=None, upper=max(1, round(part * limit.upper)))

    return _drawn(space, Budget(tuple(map(near, budget.limits))), rates, random)


def _drawn(
    space: SearchSpace, budget: Budget, latencies: tuple[LatencyModel, ...], random: Random
) -> NetworkSpec | None:
    """The first balanced network of `MAX_DRAWS` that are fitted to a budget, else the first of them, if any."""
    try:
        bounded = BudgetedSpace(space, budget, latencies=latencies)
    except BudgetError:
        return None
    drawn = (bounded.fit(space.draw(random), random.uniform(MIN_USE, 1)) for _ in range(MAX_DRAWS))
    first: NetworkSpec | None = None
    for candidate in filter(None, drawn):
        if bounded.is_balanced(candidate):
            return candidate.spec
        first = first or candidate.spec
    return first
