"""Times networks of a space before a search, and fits its latency model: measured where it will predict.

First come networks from the smallest to about the limit; then those that the search would propose within 0.3 to 1.3
times the limit, by the rates that are known so far.
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
from lightcnn.measurement.latency import MIN_ROUNDS
from lightcnn.measurement.latency_fit import ROUND_SECONDS, NetworkTimer, fit_latency, fit_rates
from lightcnn.progress import Progress
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

NETWORKS = 30
"""Networks that are timed: in `micro`, the stated error was 33 % after 15, 22 % after 20, 16 % after 30 and after 45
(docs/reference/measurements.md#latency-within-a-search)."""
MIN_FIRST, MIN_NEAR = 3, 6
"""Networks from the smallest on, and networks near the limit, that are timed however long it takes."""
STEP = 1.6
"""Each of the first networks has so many times the multiply-adds of the one before, until one is over the limit."""
LARGEST_ERROR = 1.0
"""With a larger error, more networks are timed, and all of them again: other programs were running, or one of the
networks has an operator that no other has."""
LONGEST = 2.0
"""No more are timed after so many times the seconds that timing should take."""
LOWEST_SHARE, HIGHEST_SHARE = 0.3, 1.3
"""The others are proposed within this to that share of the limit, of which they use half or more."""


def fitted_model(
    space: SearchSpace, budget: Budget, limit: Limit, seed: int, progress: Progress, seconds: float
) -> LatencyModel:
    """The model of a time that a budget limits, from `NETWORKS` networks, or fewer so that it takes about `seconds`.

    It takes up to about twice as long if its error is over `LARGEST_ERROR`. Raises: BudgetError if all of them take
    longer than the limit, whatever would be predicted; LightcnnError if ONNX Runtime cannot run a network.
    """
    start, random, timer = time.monotonic(), Random(seed), NetworkTimer(RUNTIME_OF[limit.resource.name])
    smallest = space.spec(space.smallest())
    networks, rough = list[NetworkSpec](), list[float]()

    def add(network: NetworkSpec) -> None:
        progress("timing networks", len(networks), NETWORKS)
        networks.append(network)
        rough.append(timer.add(network))

    for network in islice(_growing(space, smallest, random), NETWORKS // 2):
        add(network)
        if len(networks) >= MIN_FIRST and rough[-1] > HIGHEST_SHARE * limit.upper:
            break
    lowest = min(LOWEST_SHARE, (limit.lower or limit.upper) / limit.upper)  # a Pareto front begins at the lower limit

    def add_near() -> None:
        rates = fit_rates(networks, rough, timer.runtime)
        share = lowest * (HIGHEST_SHARE / lowest) ** random.random()
        near = _proposed(space, budget, limit, share, rates, random)
        add(near or _network(space, round(STEP * cost(smallest).macs), random) or smallest)

    least = len(networks) + MIN_NEAR
    while len(networks) < least or _affords(seconds, time.monotonic() - start, len(networks) + 1, limit):
        add_near()
    model = _model_of(networks, timer, space, limit, progress)
    while model.error > LARGEST_ERROR and len(networks) < NETWORKS and time.monotonic() - start < LONGEST * seconds:
        for _ in range(min(MIN_NEAR, NETWORKS - len(networks))):
            add_near()
        model = _model_of(networks, timer, space, limit, progress)
    return model


def _model_of(
    networks: Sequence[NetworkSpec], timer: NetworkTimer, space: SearchSpace, limit: Limit, progress: Progress
) -> LatencyModel:
    """The model of the networks in the timer. Raises: BudgetError if all of them take longer than the limit."""
    measured = timer.times(progress)
    if min(measured) > limit.upper:
        raise BudgetError(
            f"budget {Budget((limit,))}: the fastest of {len(networks)} networks of the space {space.name or 'given'} "
            f"takes {min(measured) / 1000:.3f} ms for one image on this machine; raise the limit, or use a space with "
            "smaller inputs or narrower stages"
        )
    return fit_latency(networks, measured, timer.runtime)


def _affords(seconds: float, spent: float, count: int, limit: Limit) -> bool:
    """Whether so many networks can be timed in so many seconds, if all but one took `spent` until their rough times.

    In the end, each is timed for as long as a round of networks at the limit takes.
    """
    rounds = count * max(ROUND_SECONDS, MIN_ROUNDS * limit.upper / 1_000_000)
    return count <= NETWORKS and spent * count / (count - 1) + rounds <= seconds


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
    space: SearchSpace, budget: Budget, limit: Limit, share: float, rates: LatencyModel, random: Random
) -> NetworkSpec | None:
    """A random network within a share of the limit by the rates, and within other upper limits that are no times."""
    near = replace(limit, lower=None, upper=max(1, round(share * limit.upper)))
    others = (replace(each, lower=None) for each in budget.limits if each.resource not in LATENCY_RESOURCES)
    return _drawn(space, Budget((near, *others)), (rates,), random)


def _drawn(
    space: SearchSpace, budget: Budget, latencies: tuple[LatencyModel, ...], random: Random
) -> NetworkSpec | None:
    """A random network of a space within a budget, if there is one."""
    try:
        bounded = BudgetedSpace(space, budget, latencies=latencies)
        return bounded.candidate(bounded.draw(random), random).spec
    except BudgetError:
        return None
