"""How fast a training step is when it has to read and augment its images, relative to a step on a fixed batch.

    python tests/benchmarks/pipeline.py [--rounds 5] [--only large|small]

The limit is the same step on one fixed batch in memory. It is compared, on the same PNG files and with the same
network, batch size, memory layout and threads, with lightcnn's pipeline with the presets `light` and `paper`, timm's
loader with two workers, and torchvision's ImageFolder with torch's DataLoader and two workers. All take turns in
rounds, and the numbers are medians. Memory is measured in a separate process that trains with one of them, workers
included.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
from PIL import Image
from torch import Tensor, nn

from lightcnn.budget import Budget
from lightcnn.data.augmentation.batch import training_batch
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.engine.loop import order
from lightcnn.network import build
from lightcnn.recipe import PRESETS, Augment
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

Batches = Iterator[tuple[Tensor, Tensor]]
GOLDEN = Path(__file__).parents[1] / "golden" / "micrompoxnet.yaml"
SETTINGS = {"small": (32, 128, 1_600, 40), "large": (128, 32, 320, 6)}
"""Input size, images per batch, number of PNG files, number of timed batches."""


def network(kind: str) -> nn.Module:
    if kind == "large":
        return build(NetworkSpec.load(GOLDEN), seed=0)
    space = SearchSpace.load("micro").for_data(3, 2, 32)
    bounded = BudgetedSpace(space, Budget.parse("1MFLOPs"))
    shape = next(s for s in (bounded.draw(Random(seed)) for seed in itertools.count()) if fits(bounded, s, 32))
    return build(bounded.candidate(shape, Random(0)).spec, seed=0)


def fits(bounded: BudgetedSpace, shape: dict, size: int) -> bool:
    candidate = bounded.fit(shape)
    return candidate is not None and candidate.spec.input[1] == size and candidate.cost.macs > 900_000


def files(folder: Path, count: int, size: int) -> None:
    drawn = paint_lesions(count=count, size=size, seed=0)
    for number, image in enumerate(drawn.images):
        target = folder / drawn.classes[drawn.labels[number]] / f"{drawn.patients[number]}_{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target)


def fixed(folder: Path, size: int, batch: int) -> Batches:
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    return itertools.repeat((images, torch.arange(batch) % 2))


def ours(preset: Augment) -> Callable[[Path, int, int], Batches]:
    def batches(folder: Path, size: int, batch: int) -> Batches:
        data = load(str(folder))
        pipeline = Pipeline(data, make_split(data, 0), torch.device("cpu"))
        rows = pipeline.split.train
        images, labels, preprocess = pipeline.images(rows, size), pipeline.labels(rows), pipeline.preprocess(size)
        for epoch in itertools.count():
            shuffled = order(len(rows), 0, epoch)
            for start in range(0, len(rows) - batch + 1, batch):
                chosen = shuffled[start : start + batch]
                yield training_batch(
                    images, labels, chosen, settings=preset, seed=0, epoch=epoch, preprocess=preprocess
                )

    return batches


def timms(folder: Path, size: int, batch: int) -> Batches:
    from timm.data import create_dataset, create_loader

    dataset = create_dataset("", root=str(folder))
    loader = create_loader(
        dataset, (3, size, size), batch, is_training=True, num_workers=2, use_prefetcher=False, persistent_workers=True
    )
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def torchvisions(folder: Path, size: int, batch: int) -> Batches:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    change = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomAffine(5, (0.05, 0.05), (0.95, 1.05)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    dataset = datasets.ImageFolder(str(folder), change)
    loader = DataLoader(dataset, batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    return itertools.chain.from_iterable(loader for _ in itertools.count())


WAYS: dict[str, Callable[[Path, int, int], Batches]] = {
    "one fixed batch (the limit)": fixed,
    "lightcnn, light": ours(PRESETS["light"]),
    "lightcnn, paper": ours(PRESETS["paper"]),
    "timm's loader, 2 workers": timms,
    "torchvision, 2 workers": torchvisions,
}


class Steps:
    """Training steps of one network on the batches of one way of reading."""

    def __init__(self, kind: str, batches: Batches) -> None:
        self.model = network(kind).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.batches = batches
        self.binary = self.model.spec.logits == 1

    def images_per_second(self, count: int) -> float:
        start, images = time.perf_counter(), 0
        for inputs, targets in itertools.islice(self.batches, count):
            logits = self.model(inputs.contiguous(memory_format=torch.channels_last))
            loss = (
                nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets.float())
                if self.binary
                else nn.functional.cross_entropy(logits, targets)
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            images += len(inputs)
        return images / (time.perf_counter() - start)


def memory(kind: str, name: str, folder: Path) -> float:
    """Peak MB of a process that trains this way, plus twice that of its largest worker."""
    command = [sys.executable, __file__, "--memory", name, "--only", kind, "--folder", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_memory(kind: str, name: str, folder: Path) -> None:
    size, batch, _, _ = SETTINGS[kind]
    Steps(kind, WAYS[name](folder, size, batch)).images_per_second(3)
    workers = 2 if "workers" in name else 0
    parent, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print((parent + workers * child) / 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(SETTINGS))
    parser.add_argument("--memory", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.memory:
        return print_memory(options.only, options.memory, options.folder)
    for kind in [options.only] if options.only else SETTINGS:
        size, batch, count, timed = SETTINGS[kind]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            files(folder, count, size)
            steps = {name: Steps(kind, way(folder, size, batch)) for name, way in WAYS.items()}
            for step in steps.values():
                step.images_per_second(3)
            rounds = [{n: s.images_per_second(timed) for n, s in steps.items()} for _ in range(options.rounds)]
            medians = {name: statistics.median(r[name] for r in rounds) for name in steps}
            peers = [n for n in WAYS if "workers" in n]
            print(f"\n{kind}: {size}×{size}, batches of {batch}, 2 threads, {options.rounds} rounds of {timed} batches")
            print(f"{'':30}{'images/s':>10}{'/ limit':>14}{'/ timm':>9}{'peak MB':>9}")
            for name, speed in medians.items():
                share = statistics.median(r[name] / r["one fixed batch (the limit)"] for r in rounds)
                peer = statistics.median(r[name] / r[peers[0]] for r in rounds)
                print(f"{name:30}{speed:10.0f}{share:14.2f}{peer:9.2f}{memory(kind, name, folder):9.0f}", flush=True)
    return None


if __name__ == "__main__":
    main()
