"""How long counting takes, by us and by other tools, and `lightcnn profile`, and how much memory.

    python tests/benchmarks/profiling.py [--counting]

First each of the 12 networks of the default profile, built: milliseconds of one count, the median of three after one
that is not timed; ours by a pass over operators (multiply-adds, shapes and lifetimes), ours from the spec alone where
there is one, fvcore, thop and torch's counter, and each as a multiple of our pass. Then the profile without times, the
whole default profile, and ONNX Runtime beside it. `--counting` ends after the first table.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lightcnn.baselines import build_network
from lightcnn.cost import cost
from lightcnn.counting.other_tools import fvcore_total, thop_total, torch_total
from lightcnn.counting.trace import trace
from lightcnn.profiling.job import run
from lightcnn.profiling.settings import Settings
from lightcnn.profiling.targets import find_targets
from lightcnn.spec import NetworkSpec

RUNS = 3


def milliseconds(work: Callable[[], object]) -> float:
    """Median of RUNS after one that is not timed."""
    work()
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def counting() -> None:
    """A row a network, and the medians of the ratios."""
    print(f"{'ms of one count':18}{'multiply-adds':>16}{'our pass':>10}{'spec alone':>12}" + "".join(
        f"{name:>9}{'ratio':>7}" for name in ("fvcore", "thop", "torch")
    ))  # fmt: skip
    ratios: list[list[float]] = []
    for one in find_targets((), baselines=False, input=None, accuracies={}):
        spec = one.spec
        model = build_network(spec, seed=0, pretrained=False).eval()
        ours = milliseconds(lambda: trace(model, spec.input))  # noqa: B023
        alone = f"{milliseconds(lambda: cost(spec)):.2f}" if isinstance(spec, NetworkSpec) else ""  # noqa: B023
        others = [milliseconds(lambda: tool(model, spec.input)) for tool in (fvcore_total, thop_total, torch_total)]  # noqa: B023
        ratios.append([other / ours for other in others])
        told = "".join(f"{other:9.0f}{other / ours:7.2f}" for other in others)
        print(f"{one.name:18}{trace(model, spec.input).macs:16,}{ours:10.0f}{alone:>12}{told}", flush=True)
    medians = "".join(f"{'':9}{statistics.median(column):7.2f}" for column in zip(*ratios, strict=True))
    print(f"{'median':56}{medians}")


def profiles() -> None:
    """Seconds and memory of whole profiles."""
    with tempfile.TemporaryDirectory() as folder:
        onnx = Settings(runtimes=("folded", "onnx", "onnx-int8"))
        ways = {"without times": Settings(latency=False), "whole": Settings(), "with ONNX": onnx}
        for name, settings in ways.items():
            begin = time.perf_counter()
            run((), settings, out=Path(folder) / name)
            seconds, held = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{name:<18} {seconds:6.1f} s, {held:.2f} GiB resident at most so far", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counting", action="store_true", help="only the first table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counting()
    if not options.counting:
        profiles()


if __name__ == "__main__":
    main()
