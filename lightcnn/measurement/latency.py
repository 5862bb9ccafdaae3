"""How long one inference takes: interleaved rounds over all networks, medians with their spread, never the mean.

Interleaving makes other load on the machine affect all networks alike. Each network is warmed up until its times are
steady. If the middle half of its times spreads over more than a fifth of their median, it is measured again; if that
does not help, it is marked as unstable.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lightcnn.errors import InputError
from lightcnn.measurement.runtime_names import MAX_THREADS
from lightcnn.progress import Progress
from lightcnn.run_folder import environment

MIN_ROUNDS, MAX_ROUNDS = 10, 50
"""Number of measured rounds."""
MAX_SPREAD = 0.2
"""Interquartile range over median above which a network is measured again."""
STEADY_SPREAD, MAX_WARM_SECONDS, MAX_WARM_RUNS = 0.1, 4.0, 30
"""The warm-up ends once the last three runs differ by no more than this share, or after so many seconds or runs."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference at batch 1; `layout` is the faster memory layout.

    `unstable` means that the spread stayed wide. `images_per_second` is at batch `batch`.
    """

    median: float
    p95: float
    iqr: float
    runs: int
    threads: int
    runtime: str
    layout: str
    device: str
    unstable: bool
    batch: int
    images_per_second: float

    def document(self) -> dict[str, Any]:
        """The latency as it is in report.json."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TimedModel:
    """A network ready to be timed: `run` times one image, `many` times `batch` images; both return milliseconds.

    `many` is called once, at the end, and returns the better of two tries. `note` is a caveat for the report.
    """

    runtime: str
    layout: str
    device: str
    batch: int
    run: Callable[[], float]
    many: Callable[[], float]
    note: str = ""


def measure(
    models: Sequence[TimedModel], *, seconds: float, threads: int, progress: Progress, min_rounds: int = MIN_ROUNDS
) -> list[Latency]:
    """The latency of each model, measured for `seconds` in total and for at least `min_rounds` rounds.

    Models whose times spread widely are measured a second time, and the steadier series is kept.
    """
    with torch_threads(threads):
        series = measure_rounds(models, seconds, progress, min_rounds=min_rounds)
        wide = [index for index, times in enumerate(series) if _spread(times) > MAX_SPREAD]
        if wide:
            repeated = measure_rounds([models[index] for index in wide], seconds / 4, progress, min_rounds=min_rounds)
            for index, times in zip(wide, repeated, strict=True):
                series[index] = min(times, series[index], key=_spread)
        latencies = []
        for index, (model, times) in enumerate(zip(models, series, strict=True)):
            progress("measuring throughput", index, len(models))
            latencies.append(_latency(model, times, threads))
        return latencies


def measure_rounds(
    models: Sequence[TimedModel],
    seconds: float,
    progress: Progress,
    *,
    min_rounds: int = MIN_ROUNDS,
    max_rounds: int | None = None,
) -> list[list[float]]:
    """Milliseconds of each model in each round, for so many `seconds` in total.

    There are at least `min_rounds` rounds, and at most `max_rounds`, which is `MAX_ROUNDS` if it is not given.
    """
    series: list[list[float]] = [[] for _ in models]
    end = time.monotonic() + seconds
    for number in range(max_rounds or MAX_ROUNDS):
        if number >= min_rounds and time.monotonic() > end:
            break
        for index, (model, times) in enumerate(zip(models, series, strict=True)):
            progress(f"timing, round {number + 1}", index, len(models))
            times.append(model.run())
    return series


def warm_up(run: Callable[[], float]) -> float:
    """Runs until the times are steady; returns the median of the last three runs in milliseconds."""
    end, times = time.monotonic() + MAX_WARM_SECONDS, [run(), run(), run()]
    while (
        len(times) < MAX_WARM_RUNS
        and time.monotonic() < end
        and max(times[-3:]) > (1 + STEADY_SPREAD) * min(times[-3:])
    ):
        times.append(run())
    return statistics.median(times[-3:])


def describe_machine() -> dict[str, Any]:
    """Processor, cores, load and versions of the machine on which times are measured."""
    machine = environment()
    return {
        "processor": machine["processor"],
        "cores": machine["cores"],
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "platform": machine["platform"],
        "python": platform.python_version(),
        "packages": {name: machine["packages"][name] for name in ("torch", "fvcore", "thop", "onnxruntime")},
    }


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Lets torch use `count` threads within an operator, and restores their number afterwards. Raises: InputError."""
    if not isinstance(count, int) or not 1 <= count <= MAX_THREADS:
        raise InputError(f"--threads {count}: must be a whole number from 1 to {MAX_THREADS}")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _latency(model: TimedModel, times: Sequence[float], threads: int) -> Latency:
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4)
    return Latency(
        median=median,
        p95=statistics.quantiles(times, n=20, method="inclusive")[-1],
        iqr=high - low,
        runs=len(times),
        threads=threads,
        runtime=model.runtime,
        layout=model.layout,
        device=model.device,
        unstable=_spread(times) > MAX_SPREAD,
        batch=model.batch,
        images_per_second=1000 * model.batch / model.many(),
    )


def _spread(times: Sequence[float]) -> float:
    """The interquartile range over the median."""
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle
