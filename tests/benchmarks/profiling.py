"""How long counting takes with lightcnn and with other tools, and how much time and memory `lightcnn profile` needs.

    python tests/benchmarks/profiling.py [--counting]

The first table has the 12 networks of the default profile. It shows the milliseconds of one count, the median of three
after one that is not timed: by lightcnn's pass over all operators (multiply-adds, shapes and lifetimes), from the spec
alone if the network has one, and by fvcore, thop and torch's counter, also as multiples of lightcnn's pass. Then the
profile is made without times, with times, and with ONNX Runtime. `--counting` ends after the first table.
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
from lightcnn.profiling.settings import ProfileSettings
from lightcnn.profiling.targets import find_targets
from lightcnn.spec import NetworkSpec

RUNS = 3


def milliseconds(work: Callable[[], object]) -> float:
    """Median milliseconds of RUNS calls, after one that is not timed."""
    work()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def counting() -> None:
    """Prints one row per network, and the medians of the ratios."""
    print(f"{'ms of one count':18}{'multiply-adds':>16}{'our pass':>10}{'spec alone':>12}" + "".join(
        f"{name:>9}{'ratio':>7}" for name in ("fvcore", "thop", "torch")
    ))  # fmt: skip
    ratios: list[list[float]] = []
    for target in find_targets((), baselines=False, input=None, accuracies={}):
        spec = target.spec
        model = build_network(spec, seed=0, pretrained=False).eval()
        ours = milliseconds(lambda: trace(model, spec.input))  # noqa: B023
        alone = f"{milliseconds(lambda: cost(spec)):.2f}" if isinstance(spec, NetworkSpec) else ""  # noqa: B023
        tools = [milliseconds(lambda: count(model, spec.input)) for count in (fvcore_total, thop_total, torch_total)]  # noqa: B023
        ratios.append([tool / ours for tool in tools])
        times = "".join(f"{tool:9.0f}{tool / ours:7.2f}" for tool in tools)
        print(f"{target.name:18}{trace(model, spec.input).macs:16,}{ours:10.0f}{alone:>12}{times}", flush=True)
    medians = "".join(f"{'':9}{statistics.median(column):7.2f}" for column in zip(*ratios, strict=True))
    print(f"{'median':56}{medians}")


def profiles() -> None:
    """Prints seconds and memory of whole profiles."""
    with tempfile.TemporaryDirectory() as folder:
        onnx = ProfileSettings(runtimes=("folded", "onnx", "onnx-int8"))
        ways = {"without times": ProfileSettings(latency=False), "whole": ProfileSettings(), "with ONNX": onnx}
        for name, settings in ways.items():
            start = time.perf_counter()
            run((), settings, out=Path(folder) / name)
            seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{name:<18} {seconds:6.1f} s, peak memory so far {peak:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counting", action="store_true", help="Print the first table only.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counting()
    if not options.counting:
        profiles()


if __name__ == "__main__":
    main()
