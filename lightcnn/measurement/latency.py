"""How long one inference takes: interleaved rounds over all networks, medians with their spread, never the mean.

What else runs on the machine then disturbs all alike. A network is warmed up until it is steady; one whose middle half
spreads over more than a fifth of its median is measured again, and marked where it stays so.
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

from lightcnn.progress import Progress
from lightcnn.run_folder import environment

MIN_ROUNDS, MAX_ROUNDS = 10, 50
"""Rounds that are measured."""
MAX_SPREAD = 0.2
"""Of the median: a wider middle half is measured again."""
STEADY_SPREAD, MAX_WARM_SECONDS, MAX_WARM_RUNS = 0.1, 4.0, 30
"""The warm-up ends when the last three runs are as near each other, or after so many seconds or runs."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference at batch 1. `unstable`: its spread stayed wide. `layout` is the faster one."""

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
        """As in report.json."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TimedModel:
    """A network ready to be timed: `run` is one inference at batch 1, `many` one of `batch` images; milliseconds.

    `many` is asked once, at the end, and gives the better of two tries. `note` is what a reader must know of it.
    """

    runtime: str
    layout: str
    device: str
    batch: int
    run: Callable[[], float]
    many: Callable[[], float]
    note: str = ""


def measure(
    candidates: Sequence[TimedModel], *, seconds: float, threads: int, progress: Progress, least: int = MIN_ROUNDS
) -> list[Latency]:
    """The latency of each, in `seconds` altogether or `least` rounds if those take longer; what spread, once more."""
    with torch_threads(threads):
        times = _rounds(candidates, seconds, least, progress)
        wide = [index for index, held in enumerate(times) if _spread(held) > MAX_SPREAD]
        if wide:
            again = _rounds([candidates[index] for index in wide], seconds / 4, least, progress)
            for index, held in zip(wide, again, strict=True):
                times[index] = min(held, times[index], key=_spread)
        found = []
        for index, (one, held) in enumerate(zip(candidates, times, strict=True)):
            progress("measuring throughput", index, len(candidates))
            found.append(_latency(one, held, threads))
        return found


def warm_up(run: Callable[[], float]) -> float:
    """Runs until it is steady; milliseconds of the last runs' median."""
    end, held = time.monotonic() + MAX_WARM_SECONDS, [run(), run(), run()]
    while (
        len(held) < MAX_WARM_RUNS and time.monotonic() < end and max(held[-3:]) > (1 + STEADY_SPREAD) * min(held[-3:])
    ):
        held.append(run())
    return statistics.median(held[-3:])


def describe_machine() -> dict[str, Any]:
    """Processor, cores, load and versions that the times belong to."""
    told = environment()
    return {
        "processor": told["processor"],
        "cores": told["cores"],
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "platform": told["platform"],
        "python": platform.python_version(),
        "packages": {name: told["packages"][name] for name in ("torch", "fvcore", "thop", "onnxruntime")},
    }


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads inside one operator, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounds(candidates: Sequence[TimedModel], seconds: float, least: int, progress: Progress) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in candidates]
    end = time.monotonic() + seconds
    for number in range(MAX_ROUNDS):
        if number >= least and time.monotonic() > end:
            break
        for index, (one, held) in enumerate(zip(candidates, times, strict=True)):
            progress(f"timing, round {number + 1}", index, len(candidates))
            held.append(one.run())
    return times


def _latency(one: TimedModel, held: Sequence[float], threads: int) -> Latency:
    median = statistics.median(held)
    low, _, high = statistics.quantiles(held, n=4)
    return Latency(
        median=median,
        p95=statistics.quantiles(held, n=20, method="inclusive")[-1],
        iqr=high - low,
        runs=len(held),
        threads=threads,
        runtime=one.runtime,
        layout=one.layout,
        device=one.device,
        unstable=_spread(held) > MAX_SPREAD,
        batch=one.batch,
        images_per_second=1000 * one.batch / one.many(),
    )


def _spread(held: Sequence[float]) -> float:
    """The middle half over the median."""
    low, middle, high = statistics.quantiles(held, n=4)
    return (high - low) / middle
