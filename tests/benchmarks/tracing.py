"""What it costs to trace each network more than once, to see that neither random numbers nor values decide what runs.

    python tests/benchmarks/tracing.py

One row per network: milliseconds of one pass, of all passes of `trace`, of the whole count, and the share of the count
that the further passes take. Medians of five, of CPU time, after one that is not timed.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.counting.count import count
from lightcnn.counting.trace import trace
from lightcnn.recipe import Recipe

RUNS = 5
SHAPE = (3, 224, 224)


class Drawn(nn.Module):
    """A network that draws a random number, which decides nothing: it is traced with eight seeds."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) * random.random()
        return out


class WithValues(Drawn):
    """A network that reads a value of its own: it is traced with values, with four images and two seeds."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) * float(next(self.parameters()).sum())
        return out


def milliseconds(work: Callable[[], object]) -> float:
    """Median milliseconds of CPU time of RUNS calls, after one that is not timed."""
    work()
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def networks() -> dict[str, nn.Module]:
    """The networks by name."""
    specs = {name: BaselineSpec(baseline=name, classes=2) for name in ("mobilenetv2", "resnet50v2", "convnext_tiny")}
    models = {name: build_network(spec, 0, pretrained=False).eval() for name, spec in specs.items()}
    paper = build_network(Recipe.load("micrompoxnet").network, 0).eval()
    mobile = models["mobilenetv2"]
    return {
        "micrompoxnet": paper,
        **models,
        "mobilenetv2, random": Drawn(mobile),
        "mobilenetv2, values": WithValues(mobile),
    }


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    print(f"{'network':22}{'one pass':>10}{'all passes':>12}{'count':>9}{'further passes':>16}")
    for name, model in networks().items():
        once = milliseconds(lambda model=model: trace(model, SHAPE, repeat=False))
        every = milliseconds(lambda model=model: trace(model, SHAPE))
        whole = milliseconds(lambda model=model: count(model, SHAPE))
        print(f"{name:22}{once:10.0f}{every:12.0f}{whole:9.0f}{(every - once) / whole:16.0%}", flush=True)


if __name__ == "__main__":
    main()
