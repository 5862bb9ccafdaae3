"""How fast the cost of a spec is computed, compared with fvcore and thop on the same networks.

    python tests/benchmarks/cost.py

lightcnn computes the cost of a spec in memory (pydantic models); fvcore and thop need the built network. It runs on one
core; the numbers are medians over rounds that alternate between the three.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

from lightcnn.cost import cost
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.network import build
from lightcnn.run_folder import environment
from lightcnn.spec import ConvBlock, InvertedResidualBlock, NetworkSpec, ResidualBlock, SeparableBlock

ROUNDS = 7


def network(kind: str) -> NetworkSpec:
    """Twelve blocks of one kind at 32×32, widths 16 to 64, three of them with stride 2."""
    blocks = []
    for index in range(12):
        width, stride = 16 * (1 + index // 3), 2 if index % 4 == 1 else 1
        if kind == "mbconv with SE":
            blocks.append(InvertedResidualBlock(width=width, stride=stride, se=0.25))
        elif kind == "residual":
            blocks.append(
                ResidualBlock(body=(ConvBlock(width=width, stride=stride), ConvBlock(width=width, act="none")))
            )
        else:
            blocks.append(SeparableBlock(width=width, stride=stride))
    return NetworkSpec(input=(3, 32, 32), stages=tuple(blocks), classes=10)


def seconds(call: Callable[[], object], times: int) -> float:
    """Mean seconds of one of `times` calls."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def main() -> None:
    machine = f"{environment()['processor']}, one thread, Python {platform.python_version()}"
    print(f"{machine}, medians of {ROUNDS} rounds\n")
    names = ("lightcnn", "fvcore", "thop", "fvcore/ours", "thop/ours", "ours per s")
    print(f"{'twelve blocks of':<18}" + "".join(f"{name:>14}" for name in names))
    for kind in ("separable", "mbconv with SE", "residual"):
        ours, fvcore, thop = median_seconds(network(kind))
        print(
            f"{kind:<18}{ours * 1e6:>11.1f} µs{fvcore * 1e3:>11.1f} ms{thop * 1e3:>11.1f} ms"
            f"{fvcore / ours:>14,.0f}{thop / ours:>14,.0f}{1 / ours:>14,.0f}"
        )


def median_seconds(spec: NetworkSpec) -> list[float]:
    """Median seconds of one count by lightcnn, fvcore and thop."""
    model = build(spec, 0)
    counters = [
        (lambda: cost(spec), 2_000),
        (lambda: fvcore_total(model, spec.input), 1),
        (lambda: thop_total(model, spec.input), 1),
    ]
    for call, _ in counters:
        call()
    rounds = [[seconds(call, times) for call, times in counters] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


if __name__ == "__main__":
    main()
