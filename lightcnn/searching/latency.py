"""The latency models of a search: made before the first trial, kept in its run folder, and used from then on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field

from lightcnn import document
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.budget import MACS, ONNX_LATENCY, Budget, Cost, Limit, Resource
from lightcnn.cost import cost
from lightcnn.document import Frozen
from lightcnn.errors import BudgetError, RunError
from lightcnn.latency_model import RUNTIME_OF, LatencyModel, TimedRuntime
from lightcnn.measurement.latency import MIN_ROUNDS
from lightcnn.measurement.latency_fit import ROUND_SECONDS, fit_latency, rough_time, time_networks
from lightcnn.onnxfiles.extra import runtime_version
from lightcnn.progress import Progress
from lightcnn.run_folder import RunFolder, environment
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.plan import require_format
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

LATENCY_FILE = "latency.yaml"
NETWORKS = 30
"""Networks that are timed. The error that one in ten predictions exceeds was 14 % after 20, 11 % after 30 and 10 %
after 50 networks of `micro`."""
TIME_SHARE = 0.25
"""Share of the time limit of a search that timing takes at most, about: if it would be more, fewer are timed."""
MIN_NEAR = 6
"""Networks near the limit that are timed even then."""
STEP = 1.6
"""Each network has so many times the multiply-adds of the one before, until one takes longer than the limit."""
LOWEST_SHARE, HIGHEST_SHARE = 0.3, 1.3
"""The other networks take from this to that share of the limit: predictions matter near it."""
MIN_SPREAD = 4.0
"""The largest of them has at least so many times the multiply-adds of the smallest: rates follow from differences."""
ALONE_SECONDS = 1.0
"""Seconds for the rounds of each network that is drawn beside a front."""
Text = Annotated[str, Field(max_length=200)]


class TimedMachine(Frozen):
    """What times depend on; `onnxruntime` is None if none is measured in ONNX Runtime."""

    processor: Text
    cores: Annotated[int, Field(ge=1, le=100_000)]
    torch: Text
    onnxruntime: Text | None = None

    @classmethod
    def this(cls, budget: Budget) -> Self:
        """This machine, for the latencies that a budget limits."""
        machine = environment()
        return cls(
            processor=str(machine["processor"])[:200],
            cores=machine["cores"] or 1,
            torch=torch.__version__,
            onnxruntime=runtime_version() if ONNX_LATENCY in budget.latencies else None,
        )


class LatencyModels(Frozen):
    """The models of one search, and the machine on which its networks were timed.

    Those of version 1 predict times that were measured by another rule.
    """

    version: Literal[2] = 2
    machine: TimedMachine
    models: Annotated[tuple[LatencyModel, ...], Field(min_length=1, max_length=2)]

    def yaml(self) -> bytes:
        """latency.yaml."""
        return document.dump(self, exclude_defaults=False).encode()


def read_models(folder: RunFolder, budget: Budget) -> LatencyModels:
    """The models of an earlier session.

    Raises: RunError on a machine with another processor, PyTorch or ONNX Runtime, or if they are not of this budget, or
    were timed in another way.
    """
    require_format(folder, LATENCY_FILE, LatencyModels.model_fields["version"].default)
    models, this = document.load(LatencyModels, folder / LATENCY_FILE), TimedMachine.this(budget)
    if [model.resource for model in models.models] != [resource.name for resource in budget.latencies]:
        raise RunError(f"{folder.path / LATENCY_FILE}: not the latencies of budget {budget}; choose a new --out")
    if models.machine != this:
        raise RunError(
            f"run {folder.path}: its latencies were measured on {_describe(models.machine)}, and this is "
            f"{_describe(this)}; continue it there, or choose a new --out"
        )
    return models


def measure_models(
    space: SearchSpace, budget: Budget, seed: int, progress: Progress, time_limit: float | None = None
) -> LatencyModels:
    """Times `NETWORKS` networks of a space for every time that a budget limits, and fits the models.

    Fewer are timed if it would take more than `TIME_SHARE` of the `time_limit` of the search, in seconds. Nothing else
    should run meanwhile. Raises: BudgetError if all of them take longer than a limit, whatever would be predicted;
    LightcnnError if ONNX Runtime cannot run a network.
    """
    limits = [limit for limit in budget.limits if limit.resource.name in RUNTIME_OF]
    seconds = math.inf if time_limit is None else TIME_SHARE * time_limit / len(limits)
    models = [
        _measure_model(space, limit, RUNTIME_OF[limit.resource.name], seed, progress, seconds) for limit in limits
    ]
    return LatencyModels(machine=TimedMachine.this(budget), models=tuple(models))


@dataclass(frozen=True)
class MeasuredLatency:
    """The median microseconds of a trained network, and the limit of the budget."""

    resource: str
    limit: int
    microseconds: float

    @property
    def is_met(self) -> bool:
        """Whether the network is fast enough."""
        return self.microseconds <= self.limit


def measure_latencies(
    networks: Sequence[NetworkSpec], budget: Budget, progress: Progress
) -> list[tuple[MeasuredLatency, ...]]:
    """The latencies of each network that the budget limits, measured in turns; nothing else should run meanwhile."""
    limits = [limit for limit in budget.limits if limit.resource.name in RUNTIME_OF]
    times = [time_networks(networks, RUNTIME_OF[limit.resource.name], progress, limit.upper) for limit in limits]
    return [
        tuple(
            MeasuredLatency(limit.resource.name, limit.upper, series[index])
            for limit, series in zip(limits, times, strict=True)
        )
        for index in range(len(networks))
    ]


def measure_alone(network: NetworkSpec | BaselineSpec, resource: Resource, progress: Progress) -> float:
    """The microseconds of a network that has no limit to meet, measured for about `ALONE_SECONDS`.

    Raises: LightcnnError if it cannot be built or run.
    """
    return time_networks([network], RUNTIME_OF[resource.name], progress, seconds=ALONE_SECONDS)[0]


def nearest_latency(latencies: Sequence[Sequence[MeasuredLatency]], budget: Budget) -> str:
    """What to say if no finalist is fast enough: how slow the nearest is, and what to do."""
    nearest = min(latencies, key=lambda measured: max(each.microseconds / each.limit for each in measured))
    slow = max(nearest, key=lambda each: each.microseconds / each.limit)
    count = len(latencies)
    trained = "the one network that was trained to the end does not meet"
    if count > 1:
        trained = f"none of {count} networks that were trained to the end meets"
    return (
        f"{trained} the budget {budget}; the nearest takes "
        f"{slow.microseconds / 1000:.3f} ms for one image, over {slow.limit / 1000:g} ms; continue the search with "
        "--resume and more --time, or search again with a slightly lower limit"
    )


def _missed_limits(latencies: Mapping[int, Sequence[MeasuredLatency]], resource: str) -> dict[str, float]:
    """The microseconds of the networks that miss the limit of a resource, by trial number, as keys of JSON."""
    return {
        str(trial): round(each.microseconds, 1)
        for trial, measured in sorted(latencies.items())
        for each in measured
        if each.resource == resource and not each.is_met
    }


def latency_document(
    models: Sequence[LatencyModel], total: Cost, latencies: Mapping[int, Sequence[MeasuredLatency]], delivered: int
) -> dict[str, Any]:
    """`latency` of report.json, by the number of a cost, in microseconds: what was predicted at most, and measured.

    `latencies` are those of the networks that were trained to the end, by trial; `delivered` is one of these trials.
    """
    return {
        each.resource: {
            "runtime": model.runtime, "limit": each.limit, "predicted_at_most": getattr(total, each.resource),
            "prediction_error": model.error, "networks": model.networks, "measured": round(each.microseconds, 1),
            "threads": 1, "too_slow": _missed_limits(latencies, each.resource),
        }
        for model, each in zip(models, latencies[delivered], strict=True)
    }  # fmt: skip


def _measure_model(
    space: SearchSpace, limit: Limit, runtime: TimedRuntime, seed: int, progress: Progress, seconds: float
) -> LatencyModel:
    """Times networks from the smallest to about the limit, then of shares of it, in about so many `seconds`."""
    start, random, times = time.monotonic(), Random(seed), list[float]()
    networks: list[NetworkSpec] = []
    for network in islice(_growing(space, random), NETWORKS // 2):
        progress("timing networks", len(networks), NETWORKS)
        networks.append(network)
        times.append(rough_time(network, runtime))
        if times[-1] > HIGHEST_SHARE * limit.upper:
            break
    count = _affordable(seconds, time.monotonic() - start, len(networks), limit)
    macs = [cost(network).macs for network in networks]
    lowest = min(LOWEST_SHARE * limit.upper, limit.lower or limit.upper)  # a Pareto front begins at the lower limit
    low, high = (_macs_at(each, macs, times) for each in (lowest, HIGHEST_SHARE * limit.upper))
    spread = max(high / low, MIN_SPREAD)
    while len(networks) < count:
        networks.append(_network(space, round(low * spread ** random.random()), random))
    measured = time_networks(networks, runtime, progress)
    if min(measured) > limit.upper:
        raise BudgetError(
            f"budget {Budget((limit,))}: the fastest of {count} networks of the space {space.name or 'given'} takes "
            f"{min(measured) / 1000:.3f} ms for one image on this machine; raise the limit, or use a space with "
            "smaller inputs or narrower stages"
        )
    return fit_latency(networks, measured, runtime)


def _affordable(seconds: float, spent: float, rough: int, limit: Limit) -> int:
    """Networks that can be timed in so many seconds, of which `spent` were needed for the rough times of `rough` ones.

    Each is prepared as for its rough time, and then timed for as long as a round of networks at the limit takes.
    """
    each = spent / rough + max(ROUND_SECONDS, MIN_ROUNDS * limit.upper / 1_000_000)
    affordable = (seconds - spent) / each
    return int(min(NETWORKS, max(rough + MIN_NEAR, affordable)))


def _growing(space: SearchSpace, random: Random) -> Iterator[NetworkSpec]:
    """The smallest network, and networks of more and more multiply-adds up to the largest."""
    network, largest = space.spec(space.smallest()), cost(space.spec(space.largest())).macs
    yield network
    macs = float(cost(network).macs)
    while (macs := macs * STEP) < largest:
        yield _network(space, round(macs), random)


def _network(space: SearchSpace, macs: int, random: Random) -> NetworkSpec:
    """A random network of about so many multiply-adds; the smallest if there is none."""
    try:
        bounded = BudgetedSpace(space, Budget((Limit(MACS, max(1, macs)),)))
    except BudgetError:
        return space.spec(space.smallest())
    return bounded.candidate(bounded.draw(random), random).spec


def _macs_at(time: float, macs: Sequence[int], times: Sequence[float]) -> float:
    """The multiply-adds of a network that takes so long, between those of the networks that were timed."""
    below = [count for count, each in zip(macs, times, strict=True) if each <= time]
    above = [count for count, each in zip(macs, times, strict=True) if each > time]
    return math.sqrt(max(below, default=min(macs)) * min(above, default=max(macs)))


def _describe(machine: TimedMachine) -> str:
    versions = f"torch {machine.torch}" + (f" and onnxruntime {machine.onnxruntime}" if machine.onnxruntime else "")
    return f"{machine.processor} with {machine.cores} cores and {versions}"
