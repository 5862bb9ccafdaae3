"""Times networks on this machine, and finds the rates of a `LatencyModel` from their times."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import nn

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.counting.folding import FoldablePair, deploy
from lightcnn.latency_model import ALL, LatencyModel, TimedRuntime, latency_features
from lightcnn.measurement.latency import MIN_ROUNDS, TimedModel, measure_rounds, torch_threads
from lightcnn.measurement.runtimes import timed_models
from lightcnn.network import build, fold
from lightcnn.program import program
from lightcnn.progress import Progress, no_progress
from lightcnn.spec import NetworkSpec

ROUGH_SECONDS, LEAST_SECONDS, ROUND_SECONDS = 0.05, 0.1, 0.3
"""Seconds for the rounds of each network: alone; in turns with others, if time is short; in turns otherwise."""
ROUGH_ROUNDS = 3
"""Rounds at least of a network alone."""
SHORT_MILLISECONDS = 10.0
"""A network that is faster runs twice in each round, and the second run is timed: the first one finds the caches full
of the other networks (docs/reference/measurements.md#repeated-timing)."""
MAX_ROUNDS = 1_000
"""Rounds at most, however short they are."""
QUIET_ROUNDS = 5
"""The time of a network is its least median of so many consecutive rounds: other programs slow it down for seconds, and
single rounds may be lucky (docs/reference/measurements.md#repeated-timing)."""
WINDOW_SECONDS, PAUSE_SECONDS = 2.0, 2.0
"""If a network misses a limit, all are timed again for so long, after so long a pause."""
MAX_WINDOWS, MAX_MISSED = 6, 16
"""Windows in which they are timed at most; and windows if all of them miss the limit, which would end a search with no
network: other programs slowed networks down for 25 seconds (docs/reference/measurements.md#repeated-timing)."""
HOPELESS = 5.0
"""A network that takes so many times the limit is no reason to time again, unless none is within it."""
MAX_ERROR = 10.0
"""Largest error that is stated: predictions that are off by more are worth nothing either."""
PENALTY = 0.1
"""Of the squared rate of a feature of one kind, where the largest feature is 1, beside the squared relative errors: few
networks do not show how all kinds differ. With it, the error of 9 in 10 after 30 networks of `micro` was 15 % in place
of 17 %, and after 20 24 % in place of 30 % (docs/reference/measurements.md#latency-within-a-search)."""
MAX_STEPS = 100
"""Steps at most for each rate, after which scipy would give up; few are needed."""
ERROR_QUANTILE = 0.9
"""The share of networks whose error is at most that of the model."""


def time_networks(
    networks: Sequence[NetworkSpec | BaselineSpec],
    runtime: TimedRuntime,
    progress: Progress = no_progress,
    limit: int | None = None,
    *,
    seconds: float = ROUND_SECONDS,
) -> list[float]:
    """The least median microseconds of one image in each network, with one thread; all are timed in turns.

    It is that of `QUIET_ROUNDS` consecutive rounds. If a network is over a `limit` in microseconds, all are timed
    again, and the least time of each counts: other programs can only add to it. Without a limit, the rounds take about
    so many `seconds` for each network.

    Raises: LightcnnError if ONNX Runtime cannot run a network.
    """
    with torch_threads(1):
        models = []
        for index, network in enumerate(networks):
            progress("preparing networks", index, len(networks))
            models.append(ready_network(network, runtime))
        if limit is None:
            return _quiet_times(models, seconds * len(models), progress)
        return _times_within(models, max(WINDOW_SECONDS, seconds * len(models)), limit, progress)


def _times_within(models: Sequence[TimedModel], seconds: float, limit: int, progress: Progress) -> list[float]:
    """The microseconds of each model; if one is over the `limit`, all are timed again, and their least times count."""
    times = _quiet_times(models, seconds, progress)
    for window in range(1, MAX_MISSED):
        is_missed = min(times) > limit
        is_open = window < MAX_WINDOWS and any(limit < each <= HOPELESS * limit for each in times)
        if not (is_missed or is_open):
            break
        time.sleep(PAUSE_SECONDS)
        times = list(map(min, times, _quiet_times(models, seconds, progress)))
    return times


def _quiet_times(
    models: Sequence[TimedModel], seconds: float, progress: Progress, min_rounds: int = MIN_ROUNDS
) -> list[float]:
    """The microseconds of each model in its quietest rounds."""
    rounds = measure_rounds(
        [_warm(model) for model in models], seconds, progress, min_rounds=min_rounds, max_rounds=MAX_ROUNDS
    )
    return [1000 * least_median(times) for times in rounds]


def _warm(model: TimedModel) -> TimedModel:
    """The model with a run that finds warm caches, unless it takes long."""
    if model.run() > SHORT_MILLISECONDS:
        return model
    return replace(model, run=lambda: (model.run(), model.run())[1])


def least_median(times: Sequence[float], count: int = QUIET_ROUNDS) -> float:
    """The least median of `count` consecutive times."""
    return min(statistics.median(times[first : first + count]) for first in range(max(1, len(times) - count + 1)))


def least_seconds(microseconds: Sequence[float]) -> float:
    """The seconds that the rounds of networks take at least, if one image takes so many microseconds in each."""
    runs = sum(each * (2 if each <= 1000 * SHORT_MILLISECONDS else 1) for each in microseconds)
    return max(LEAST_SECONDS * len(microseconds), MIN_ROUNDS * runs / 1_000_000)


class NetworkTimer:
    """Networks that are prepared one after the other, and timed in turns in the end.

    Example:
        >>> from lightcnn import Recipe
        >>> from lightcnn.measurement.latency_fit import NetworkTimer
        >>> timer = NetworkTimer("folded")
        >>> timer.add(Recipe.load("quick").network) > 0
        True
    """

    def __init__(self, runtime: TimedRuntime) -> None:
        self.runtime = runtime
        self._models: list[TimedModel] = []

    def add(self, network: NetworkSpec) -> float:
        """Prepares a network; returns about the microseconds of one image, measured in a few runs.

        Raises: LightcnnError if ONNX Runtime cannot run it.
        """
        with torch_threads(1):
            self._models.append(ready_network(network, self.runtime))
            return _quiet_times(self._models[-1:], ROUGH_SECONDS, no_progress, ROUGH_ROUNDS)[0]

    def times(self, progress: Progress, seconds: float = math.inf) -> list[float]:
        """The microseconds of one image in each network, as those of `time_networks`.

        The rounds take no more than so many `seconds` for all networks, but at least `LEAST_SECONDS` for each.
        """
        count = len(self._models)
        with torch_threads(1):
            return _quiet_times(self._models, min(ROUND_SECONDS * count, max(LEAST_SECONDS * count, seconds)), progress)


def fit_latency(
    networks: Sequence[NetworkSpec], microseconds: Sequence[float], runtime: TimedRuntime, *, penalty: float = PENALTY
) -> LatencyModel:
    """The rates, none below zero, with the least squares of relative errors and of rates for single kinds.

    Args:
        networks: The specs that were timed, at least one.
        microseconds: The time of each.
        runtime: In which they ran.
        penalty: Of the squares of rates for single kinds.

    Returns:
        The model; its error is estimated by leaving each network out.
    """
    names, table = _table(networks, microseconds)
    scaled, penalties = table / table.max(axis=0), _penalties(names, penalty)
    shares = [float(row @ _rates(np.delete(scaled, index, axis=0), penalties)) for index, row in enumerate(scaled)]
    errors = [abs(1 / max(share, 1e-9) - 1) for share in shares]  # relative to the prediction, as bounds are
    level = min(1.0, ERROR_QUANTILE * (1 + 1 / len(errors)))  # the quantile that one network more would have
    error = min(MAX_ERROR, float(np.quantile(errors, level, method="higher")))
    return fit_rates(networks, microseconds, runtime, penalty=penalty).model_copy(update={"error": error})


def fit_rates(
    networks: Sequence[NetworkSpec], microseconds: Sequence[float], runtime: TimedRuntime, *, penalty: float = PENALTY
) -> LatencyModel:
    """The model of `fit_latency`, with an error of zero: it is not estimated."""
    names, table = _table(networks, microseconds)
    scale = table.max(axis=0)
    rates = _rates(table / scale, _penalties(names, penalty)) / scale
    return LatencyModel(
        runtime=runtime, rates={name: float(rate) for name, rate in zip(names, rates, strict=True) if rate > 0},
        error=0.0, networks=len(networks),
    )  # fmt: skip


def _table(networks: Sequence[NetworkSpec], microseconds: Sequence[float]) -> tuple[list[str], NDArray[np.float64]]:
    """The names of all features, and those of each network over its time, (networks, features)."""
    features = [latency_features(program(network)) for network in networks]
    names = sorted({name for each in features for name in each})
    return names, np.array([[each[name] for name in names] for each in features]) / np.array(microseconds)[:, None]


def _penalties(names: Sequence[str], penalty: float) -> NDArray[np.float64]:
    """A row for each feature (features, features), whose square is the penalty of its rate."""
    return np.diag([0.0 if name.startswith(ALL) else math.sqrt(penalty) for name in names])


def _rates(table: NDArray[np.float64], penalties: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates with which every row of the table sums to about 1, and every row of the penalties to about 0."""
    sums = np.concatenate([np.ones(len(table)), np.zeros(len(penalties))])
    rates: NDArray[np.float64] = nnls(np.concatenate([table, penalties]), sums, maxiter=MAX_STEPS * len(penalties))[0]
    return rates


def ready_network(network: NetworkSpec | BaselineSpec, runtime: TimedRuntime) -> TimedModel:
    """A network with random weights, ready to be timed."""
    if isinstance(network, NetworkSpec):
        return _ready(fold(build(network, 0)), (), network, runtime)
    model = build_network(network, 0, pretrained=False)
    return _ready(model, deploy(model, network.input).pairs, network, runtime)


def _ready(
    model: nn.Module, pairs: Sequence[FoldablePair], network: NetworkSpec | BaselineSpec, runtime: TimedRuntime
) -> TimedModel:
    (ready,) = timed_models(
        model, pairs, network.input, runtimes=[runtime], device=torch.device("cpu"), batch=1, threads=1
    )
    return ready
