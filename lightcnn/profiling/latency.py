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
from torch import Tensor, nn

from lightcnn.counters import duplicate
from lightcnn.counting.folding import Pair, folded
from lightcnn.errors import InputError
from lightcnn.run import environment
from lightcnn.spec import Shape

RUNTIMES = ("folded", "eager")
"""What runs the network: PyTorch with its norms folded, or as it is given."""
PLANNED = ("onnx", "onnx-int8")
LEAST, MOST = 10, 50
"""Rounds that are measured."""
SPREAD = 0.2
"""Of the median: a wider middle half is measured again."""
STEADY, WARM_SECONDS, TRIES = 0.1, 4.0, 30
"""The warm-up ends when the last three runs are as near each other, or after so many seconds or runs."""

Progress = Callable[[str, int, int], None]


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
class Candidate:
    """A network ready to be timed: `run` is one inference at batch 1, `many` one of `batch` images; milliseconds."""

    runtime: str
    layout: str
    device: str
    batch: int
    run: Callable[[], float]
    many: Callable[[], float]


def demand_runtimes(names: Sequence[str]) -> None:
    """Raises: InputError for a runtime that is not there."""
    for name in names:
        if name in PLANNED:
            raise InputError(
                f"--runtime {name}: networks are not run by ONNX Runtime yet, which the extra onnx is going to bring; "
                f"there are: {', '.join(RUNTIMES)}"
            )
        if name not in RUNTIMES:
            raise InputError(f"--runtime {name}: no such runtime; there are: {', '.join(RUNTIMES)}")


def candidate(
    model: nn.Module, found: Sequence[Pair], shape: Shape, *, runtime: str, device: torch.device, batch: int
) -> Candidate:
    """A copy of the model as `runtime` runs it, in its faster memory layout, warmed up."""
    subject = (folded(model, found) if runtime == "folded" else duplicate(model)).to(device)
    ways = []
    for layout in (torch.contiguous_format, torch.channels_last):
        ways.append((_warm(_timed(subject.to(memory_format=layout), shape, 1, device, layout)), layout))
    layout = min(ways, key=lambda way: way[0])[1]
    subject = subject.to(memory_format=layout)
    return Candidate(
        runtime=runtime,
        layout="channels_last" if layout is torch.channels_last else "contiguous",
        device=str(device),
        batch=batch,
        run=_timed(subject, shape, 1, device, layout),
        many=_timed(subject, shape, batch, device, layout),
    )


def measure(
    candidates: Sequence[Candidate], *, seconds: float, threads: int, progress: Progress, least: int = LEAST
) -> list[Latency]:
    """The latency of each, in `seconds` altogether or `least` rounds if those take longer; what spread, once more."""
    with threads_set(threads):
        times = _rounds(candidates, seconds, least, progress)
        wide = [index for index, held in enumerate(times) if _spread(held) > SPREAD]
        if wide:
            again = _rounds([candidates[index] for index in wide], seconds / 4, least, progress)
            for index, held in zip(wide, again, strict=True):
                times[index] = min(held, times[index], key=_spread)
        found = []
        for index, (one, held) in enumerate(zip(candidates, times, strict=True)):
            progress("measuring throughput", index, len(candidates))
            found.append(_latency(one, held, threads))
        return found


def machine() -> dict[str, Any]:
    """Processor, cores, load and versions that the times belong to."""
    told = environment()
    return {
        "processor": told["processor"],
        "cores": told["cores"],
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "platform": told["platform"],
        "python": platform.python_version(),
        "packages": {name: told["packages"][name] for name in ("torch", "fvcore", "thop")},
    }


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """So many threads inside one operator, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounds(candidates: Sequence[Candidate], seconds: float, least: int, progress: Progress) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in candidates]
    end = time.monotonic() + seconds
    for number in range(MOST):
        if number >= least and time.monotonic() > end:
            break
        for index, (one, held) in enumerate(zip(candidates, times, strict=True)):
            progress(f"timing, round {number + 1}", index, len(candidates))
            held.append(one.run())
    return times


def _latency(one: Candidate, held: Sequence[float], threads: int) -> Latency:
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
        unstable=_spread(held) > SPREAD,
        batch=one.batch,
        images_per_second=1000 * one.batch / min(one.many(), one.many()),
    )


def _spread(held: Sequence[float]) -> float:
    """The middle half over the median."""
    low, middle, high = statistics.quantiles(held, n=4)
    return (high - low) / middle


def _warm(run: Callable[[], float]) -> float:
    """Runs until it is steady; milliseconds of the last runs' median."""
    end, held = time.monotonic() + WARM_SECONDS, [run(), run(), run()]
    while len(held) < TRIES and time.monotonic() < end and max(held[-3:]) > (1 + STEADY) * min(held[-3:]):
        held.append(run())
    return statistics.median(held[-3:])


def _timed(
    model: nn.Module, shape: Shape, batch: int, device: torch.device, layout: torch.memory_format
) -> Callable[[], float]:
    first = next((held for held in model.parameters() if held.is_floating_point()), torch.zeros(1))
    images = torch.rand((batch, *shape), generator=torch.Generator().manual_seed(0)).to(first.dtype)
    images = images.to(device).to(memory_format=layout)

    def run() -> float:
        with torch.inference_mode():
            return _events(model, images) if device.type == "cuda" else _clock(model, images, device)

    return run


def _clock(model: nn.Module, images: Tensor, device: torch.device) -> float:
    begin = time.perf_counter()
    model(images)
    if device.type == "mps":
        torch.mps.synchronize()
    return 1000 * (time.perf_counter() - begin)


def _events(model: nn.Module, images: Tensor) -> float:
    """By CUDA's own clock: from the first kernel's start to the last one's end."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    model(images)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))
