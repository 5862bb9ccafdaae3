"""How long a process takes to start and to train one step: with the optimizers of lightcnn, and with those of torch.

    python tests/benchmarks/start.py [--runs 7]

Both train the same network with AdamW in turns, each time in a new process. The first step of torch's own optimizers
loads its compiler, which lightcnn does not use.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

TRAIN = """
import torch
from lightcnn.engine import optimizers
from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.network import build
from lightcnn.data.preprocess import Preprocess
from lightcnn.recipe import Augment, Optimisation
from lightcnn.spec import ConvBlock, NetworkSpec

{change}
spec = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=6),), classes=2)
model, settings = build(spec, 0), Optimisation(epochs=1, batch=8, optimizer="adamw")
preprocess = Preprocess(size=8, channels=1, mean=(0.5,), deviation=(0.25,), classes=("a", "b"), shorter_side=8)
images, labels = torch.zeros(8, 1, 8, 8, dtype=torch.uint8), torch.arange(8) % 2
state = State(model, settings, len(images))
fit(model, images, labels, preprocess=preprocess, settings=settings, augmentation=Augment(), seed=0, state=state)
"""
CASES = {
    "import torch": "import torch",
    "one step, lightcnn": TRAIN.format(change=""),
    "one step, torch's AdamW": TRAIN.format(change="optimizers._AdamW = torch.optim.AdamW"),
}


def main() -> None:
    """Prints the medians, and the ratio to the first step of lightcnn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(options.runs):
        for name, code in CASES.items():
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
            seconds[name].append(time.monotonic() - began)
    table = Table("process", "median seconds", "fastest", "ratio")
    base = median(seconds["one step, lightcnn"])
    for name, values in seconds.items():
        table.add_row(name, f"{median(values):.2f}", f"{min(values):.2f}", f"{median(values) / base:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
