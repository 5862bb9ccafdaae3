"""Times networks of a space before a search, and fits its latency model: measured where it will predict.

First come networks from the smallest to about the limit; then those that the search would propose within 0.3 to 1.3
times the limit, by the rates that are known so far. Where PyTorch and ONNX Runtime both have a limit, each network is
timed in both, so that both models are made from networks that meet the one limit and the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random

from lightcnn.budget import LATENCY_RESOURCES, MACS, Budget, Limit
from lightcnn.cost import cost
from lightcnn.duration import time_option
from lightcnn.errors import BudgetError
from lightcnn.latency_model import RUNTIME_OF, LatencyModel
from lightcnn.measurement.latency_fit import (
    HOPELESS,
    PAUSE_SECONDS,
    NetworkTimer,
    fit_latency,
    fit_rates,
    least_seconds,
)
from lightcnn.progress import Progress
from lightcnn.searching.budgeted_space import MIN_USE, BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

NETWORKS = 30
"""Networks that are timed: in `micro`, the stated error was 33 % after 15, 22 % after 20, 16 % after 30 and after 45
(docs/reference/measurements.md#latency-within-a-search)."""
MIN_FIRST = 3
"""Networks from the smallest on that are timed at least."""
KNOWN = 3
"""Networks near the limit by which the seconds of all others are estimated."""
STEP = 1.6
"""Each of the first networks has so many times the multiply-adds of the one before, until one is over the limit."""
TIME_SHARE, LARGEST_SHARE = 0.4, 2 / 3
"""Share of the time limit of a search within which the networks are timed for longer than need be; and the share within
which they must be timed, or else nothing would be left to train networks."""
LARGEST_ERROR, MAX_AGAIN = 0.5, 5
"""With a larger error, all are timed once more; if no network would meet the budget, so often at most; and the shortest
time of each counts: other programs may have been running (docs/reference/measurements.md#repeated-timing)."""
MAX_DRAWS = 5
"""Random shapes of which a network that is timed is chosen."""
LOWEST_SHARE, HIGHEST_SHARE = 0.3, 1.3
"""The others are proposed within this to that share of the limit, of which they use half or more."""


def fitted_models(
    space: SearchSpace, budget: Budget, seed: int, progress: Progress, seconds: float, used: float
) -> tuple[LatencyModel, ...]:
    """The models of the times that a budget limits, in its order, from `NETWORKS` networks that are timed for all.

    The networks are timed briefly if it would take more than `TIME_SHARE` of the `seconds` that are left of the search;
    `used` are those before. Raises: BudgetError if it would take more than `LARGEST_SHARE` even so, or if all of them
    take longer than a limit, whatever would be predicted; LightcnnError if ONNX Runtime cannot run a network.
    """
    random, smallest = Random(seed), space.spec(space.smallest())
    timed = _TimedNetworks(space, budget, progress)
    for network in islice(_growing(space, smallest, random), NETWORKS // 2):
        timed.add(network)
        if len(timed) >= MIN_FIRST and timed.is_over(HIGHEST_SHARE):
            break
    # a Pareto front begins at the lower limit
    lowest = min(LOWEST_SHARE, *((limit.lower or limit.upper) / limit.upper for limit in timed.limits))
    enough = len(timed) + KNOWN
    while len(timed) < NETWORKS:
        share = lowest * (HIGHEST_SHARE / lowest) ** random.random()
        near = _proposed(space, budget, share, timed.rates(), random)
        timed.add(near or _network(space, round(STEP * cost(smallest).macs), random) or smallest)
        if len(timed) == enough:
            timed.require_time(LARGEST_SHARE * seconds, seconds, used)
    timed.require_time(seconds, seconds, used)
    models = timed.models(TIME_SHARE * seconds - timed.spent())
    for again in range(MAX_AGAIN):
        is_good = _is_met(space, budget, models) and (again or max(model.error for model in models) <= LARGEST_ERROR)
        needed = timed.spent() + PAUSE_SECONDS + timed.least_seconds()
        if is_good or timed.is_hopeless() or needed > LARGEST_SHARE * seconds:
            break
        time.sleep(PAUSE_SECONDS)
        models = timed.models(0)
    timed.require_fast()
    return models


def _is_met(space: SearchSpace, budget: Budget, models: tuple[LatencyModel, ...]) -> bool:
    """Whether a network of the space is within the upper limits, by the models."""
    try:
        BudgetedSpace(space, Budget(tuple(replace(limit, lower=None) for limit in budget.limits)), latencies=models)
    except BudgetError:
        return False
    return True


class _TimedNetworks:
    """Networks of a space, each timed roughly for every limit as it is added, and all of them in turns for models."""

    def __init__(self, space: SearchSpace, budget: Budget, progress: Progress) -> None:
        self.limits = [limit for limit in budget.limits if limit.resource in LATENCY_RESOURCES]
        self._space, self._budget, self._progress = space, budget, progress
        self._networks: list[NetworkSpec] = []
        self._timers = [NetworkTimer(RUNTIME_OF[limit.resource.name]) for limit in self.limits]
        self._rough: list[list[float]] = [[] for _ in self.limits]
        self._least: list[list[float]] = [[] for _ in self.limits]
        self._clock = [time.monotonic()]

    def __len__(self) -> int:
        return len(self._networks)

    def add(self, network: NetworkSpec) -> None:
        self._progress("timing networks", len(self), NETWORKS)
        self._networks.append(network)
        for timer, rough in zip(self._timers, self._rough, strict=True):
            rough.append(timer.add(network))
        self._clock.append(time.monotonic())

    def is_over(self, share: float) -> bool:
        """Whether the last network takes longer than a share of one of the limits."""
        return any(rough[-1] > share * limit.upper for rough, limit in zip(self._rough, self.limits, strict=True))

    def rates(self) -> tuple[LatencyModel, ...]:
        """Models of the rough times."""
        return tuple(
            fit_rates(self._networks, rough, timer.runtime)
            for timer, rough in zip(self._timers, self._rough, strict=True)
        )

    def spent(self) -> float:
        """The seconds since the first network was prepared."""
        return time.monotonic() - self._clock[0]

    def expected_seconds(self) -> float:
        """About the seconds for `NETWORKS` networks, timed briefly, if the missing ones are like the last `KNOWN`."""
        each = (self._clock[-1] - self._clock[-1 - KNOWN]) / KNOWN
        return self.spent() + (NETWORKS - len(self)) * each + self.least_seconds()

    def least_seconds(self) -> float:
        """About the seconds in which `NETWORKS` networks are timed briefly, once they have been added."""
        missing = NETWORKS - len(self)
        return sum(least_seconds([*rough, *missing * [statistics.fmean(rough[-KNOWN:])]]) for rough in self._rough)

    def require_time(self, most: float, left: float, used: float) -> None:
        """Raises: BudgetError if timing needs more than `most` of the seconds that are `left`, or none would do."""
        needed = self.expected_seconds()
        if needed > most:
            self.require_fast()
            enough = time_option(used + needed / TIME_SHARE)
            raise BudgetError(
                f"budget {self._budget}: timing {NETWORKS} networks takes about {needed:.0f} s on this machine, more "
                f"than two thirds of the {max(0.0, left):.0f} s that are left; give --time {enough}, or --trials in "
                "its place"
            )

    def is_hopeless(self) -> bool:
        """Whether even the fastest network takes so long that other programs are hardly the reason."""
        return any(fastest > HOPELESS * limit.upper for fastest, limit in self._fastest())

    def require_fast(self) -> None:
        """Raises: BudgetError if all networks take longer than a limit."""
        for fastest, limit in self._fastest():
            if fastest > limit.upper:
                raise BudgetError(
                    f"budget {Budget((limit,))}: the fastest of {len(self)} networks of the space "
                    f"{self._space.name or 'given'} takes {fastest / 1000:.3f} ms for one image on this machine; "
                    "raise the limit, or use a space with smaller inputs or narrower stages"
                )

    def _fastest(self) -> list[tuple[float, Limit]]:
        """The microseconds of the fastest network, and the limit, of each runtime."""
        times = (least or rough for least, rough in zip(self._least, self._rough, strict=True))
        return list(zip(map(min, times), self.limits, strict=True))

    def models(self, seconds: float) -> tuple[LatencyModel, ...]:
        """The models of times in turns, which are measured in about so many `seconds`, or in the fewest that suffice.

        If they have been measured before, the shorter time of each network counts.
        """
        for index, timer in enumerate(self._timers):
            times = timer.times(self._progress, seconds / len(self._timers))
            self._least[index] = list(map(min, times, self._least[index] or times))
        return tuple(
            fit_latency(self._networks, times, timer.runtime)
            for times, timer in zip(self._least, self._timers, strict=True)
        )


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
