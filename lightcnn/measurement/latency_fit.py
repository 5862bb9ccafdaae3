"""Times networks on this machine, and finds the rates of a `LatencyModel` from their times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from lightcnn.latency_model import LatencyModel, TimedRuntime, latency_features
from lightcnn.measurement.latency import TimedModel, measure_rounds, torch_threads
from lightcnn.measurement.runtimes import timed_models
from lightcnn.network import build, fold
from lightcnn.program import program
from lightcnn.progress import Progress, no_progress
from lightcnn.spec import NetworkSpec

ROUND_SECONDS = 0.15
"""Seconds for the rounds of each network."""
MAX_ROUNDS = 1_000
"""Rounds at most, however short they are."""
QUIET_SHARE, QUIET_ROUNDS = 0.1, 3
"""Only so large a share of the rounds counts, and at least so many of them: those in which the machine was quietest.
Other programs slow all networks down alike, for some seconds (docs/reference/measurements.md#repeated-timing)."""
WINDOW_SECONDS, PAUSE_SECONDS, MAX_WINDOWS = 2.0, 2.0, 6
"""If a network misses a limit, all are timed again for so long, after so long a pause, in so many windows at most."""
HOPELESS = 2.5
"""A network that takes so many times the limit is no reason to time again."""
MAX_ERROR = 10.0
"""Largest error that is stated: predictions that are off by more are worth nothing either."""
ERROR_QUANTILE = 0.9
"""The share of networks whose error is at most that of the model."""


def time_networks(
    networks: Sequence[NetworkSpec],
    runtime: TimedRuntime,
    progress: Progress = no_progress,
    limit: int | None = None,
) -> list[float]:
    """The median microseconds of one image in each network, with one thread; all are timed in turns.

    The medians are those of the rounds in which the machine was quietest. If a network is over a `limit` in
    microseconds, all are timed again, and the least time of each counts: other programs can only add to it.

    Raises: LightcnnError if ONNX Runtime cannot run a network.
    """
    with torch_threads(1):
        models = []
        for index, network in enumerate(networks):
            progress("preparing networks", index, len(networks))
            models.append(ready_network(network, runtime))
        seconds = ROUND_SECONDS * len(models)
        if limit is None:
            return _quiet_times(models, seconds, progress)
        return _times_within(models, max(WINDOW_SECONDS, seconds), limit, progress)


def _times_within(models: Sequence[TimedModel], seconds: float, limit: int, progress: Progress) -> list[float]:
    """The microseconds of each model; if one is over the `limit`, all are timed again, and their least times count."""
    times = _quiet_times(models, seconds, progress)
    for _ in range(MAX_WINDOWS - 1):
        if not any(limit < each <= HOPELESS * limit for each in times):
            break
        time.sleep(PAUSE_SECONDS)
        times = list(map(min, times, _quiet_times(models, seconds, progress)))
    return times


def _quiet_times(models: Sequence[TimedModel], seconds: float, progress: Progress) -> list[float]:
    """The median microseconds of each model over the quietest rounds."""
    rounds = np.array(measure_rounds(models, seconds, progress, max_rounds=MAX_ROUNDS))
    medians: NDArray[np.float64] = np.median(rounds[:, quietest(rounds)], axis=1)
    return [float(each) for each in 1000 * medians]


def quietest(rounds: NDArray[np.float64], share: float = QUIET_SHARE) -> NDArray[np.intp]:
    """Which rounds to keep of times (networks, rounds): those beside which most networks were fastest.

    A round is judged by the ones before and after it, so that luck in its times is no reason to keep it.
    """
    slowdown = np.median(rounds / np.median(rounds, axis=1, keepdims=True), axis=0)
    around = np.pad(slowdown, 1, mode="reflect")
    beside = around[:-2] + around[2:]
    return np.argsort(beside, kind="stable")[: max(QUIET_ROUNDS, round(share * len(slowdown)))]


def rough_time(network: NetworkSpec, runtime: TimedRuntime) -> float:
    """The microseconds of one image, measured within a fraction of a second."""
    with torch_threads(1):
        model = ready_network(network, runtime)
        return 1000 * statistics.median(model.run() for _ in range(5))


def fit_latency(networks: Sequence[NetworkSpec], microseconds: Sequence[float], runtime: TimedRuntime) -> LatencyModel:
    """The rates, none below zero, with the least squares of relative errors.

    Args:
        networks: The specs that were timed, at least 3.
        microseconds: The time of each.
        runtime: In which they ran.

    Returns:
        The model; its error is estimated by leaving each network out.
    """
    features = [latency_features(program(network)) for network in networks]
    names = sorted({name for each in features for name in each})
    table = np.array([[each[name] for name in names] for each in features]) / np.array(microseconds)[:, None]
    scale = table.max(axis=0)
    table /= scale
    shares = [float(table[index] @ _rates(np.delete(table, index, axis=0))) for index in range(len(table))]
    errors = [abs(1 / max(share, 1e-9) - 1) for share in shares]  # relative to the prediction, as bounds are
    rates = _rates(table) / scale
    return LatencyModel(
        runtime=runtime, rates={name: float(rate) for name, rate in zip(names, rates, strict=True) if rate > 0},
        error=min(MAX_ERROR, float(np.quantile(errors, ERROR_QUANTILE))), networks=len(networks),
    )  # fmt: skip


def _rates(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates with which every row sums to about 1."""
    rates: NDArray[np.float64] = nnls(table, np.ones(len(table)))[0]
    return rates


def ready_network(network: NetworkSpec, runtime: TimedRuntime) -> TimedModel:
    """A network with random weights, ready to be timed."""
    (ready,) = timed_models(
        fold(build(network, 0)), (), network.input, runtimes=[runtime], device=torch.device("cpu"), batch=1, threads=1
    )
    return ready
