"""The latency models of a search: made before the first trial, kept in its run folder, and used from then on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field

from lightcnn import document
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.budget import ONNX_LATENCY, Budget, Cost, Limit, Resource
from lightcnn.document import Frozen
from lightcnn.errors import RunError
from lightcnn.latency_model import RUNTIME_OF, LatencyModel
from lightcnn.measurement.latency_fit import PAUSE_SECONDS, time_networks
from lightcnn.onnxfiles.extra import runtime_version
from lightcnn.progress import Progress
from lightcnn.run_folder import RunFolder, environment
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.latency.timed_networks import fitted_models
from lightcnn.searching.plan import require_format
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

LATENCY_FILE = "latency.yaml"
ALONE_SECONDS = 1.0
"""Seconds for the rounds of each network that is drawn beside a front."""
START_USES, START_MARGIN, START_WINDOWS = (1.0, 0.85, 0.7), 0.95, 3
"""The first network is fitted to the largest of these shares of the budget with which it takes at most `START_MARGIN`
of each limit, in one of so many windows. Most searches train it to the end, and one in ten predictions is off by more
than its error, so that without this all networks of a search could miss the limit
(docs/reference/measurements.md#latency-within-a-search)."""
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

    Those of earlier versions predict times that were measured by other rules.
    """

    version: Literal[3] = 3
    machine: TimedMachine
    models: Annotated[tuple[LatencyModel, ...], Field(min_length=1, max_length=2)]
    start_use: Annotated[float, Field(gt=0, le=1, description="share of the budget of the first network")] = 1.0

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
    space: SearchSpace, budget: Budget, seed: int, progress: Progress, seconds: float = math.inf, used: float = 0.0
) -> LatencyModels:
    """Times networks of a space for every time that a budget limits, and fits the models.

    Nothing else should run meanwhile. Raises: BudgetError if it takes too much of the `seconds` that are left of the
    search after the `used` ones, or if all of them take longer than a limit, whatever would be predicted;
    LightcnnError if ONNX Runtime cannot run a network.
    """
    models = fitted_models(space, budget, seed, progress, seconds, used)
    return LatencyModels(machine=TimedMachine.this(budget), models=models)


def measure_start(space: BudgetedSpace, progress: Progress, seconds: float = math.inf) -> float:
    """The largest of `START_USES` with which the first network of a search is fast enough, else the smallest.

    1 if its widths do not depend on the share. Windows after the first one begin only if they would end within
    `seconds`. Nothing else should run meanwhile. Raises: LightcnnError if ONNX Runtime cannot run a network.
    """
    began = time.monotonic()
    networks = {} if space.covered else {use: start for use in START_USES if (start := _start(space, use))}
    shares: list[float] = [math.inf] * len(networks)
    for window in range(START_WINDOWS):
        if not networks or shares[0] <= START_MARGIN:
            break
        if window:
            spent = time.monotonic() - began
            if spent + spent / window + PAUSE_SECONDS > seconds:
                break
            time.sleep(PAUSE_SECONDS)
        shares = list(map(min, shares, _limit_shares(list(networks.values()), space.budget, progress)))
    fast = [use for use, share in zip(networks, shares, strict=True) if share <= START_MARGIN]
    return max(fast, default=min(networks, default=1.0))


def _start(space: BudgetedSpace, use: float) -> NetworkSpec | None:
    """The first network at a share of the budget; None if it would use more, since a lower limit asks for that."""
    start = space.fit(space.first(), use)
    return None if start is None or space.budget.used_share(start.cost) > use else start.spec


def _limit_shares(networks: Sequence[NetworkSpec], budget: Budget, progress: Progress) -> list[float]:
    """The largest share that each network takes of the times that a budget limits, measured in turns."""
    limits = [limit for limit in budget.limits if limit.resource.name in RUNTIME_OF]
    times = [time_networks(networks, RUNTIME_OF[limit.resource.name], progress) for limit in limits]
    return [max(map(_share, each, limits)) for each in zip(*times, strict=True)]


def _share(microseconds: float, limit: Limit) -> float:
    return microseconds / limit.upper


@dataclass(frozen=True)
class MeasuredLatency:
    """The microseconds of a trained network, the least median of several rounds, and the limit of the budget."""

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


def _describe(machine: TimedMachine) -> str:
    versions = f"torch {machine.torch}" + (f" and onnxruntime {machine.onnxruntime}" if machine.onnxruntime else "")
    return f"{machine.processor} with {machine.cores} cores and {versions}"
