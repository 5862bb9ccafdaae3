"""How fast an epoch is, compared with a training step on one fixed batch and with a loop like that of timm's train.py.

    pip install timm && python tests/benchmarks/train.py [--rounds 5] [--images 2048] [--device cpu]

It prints images per second of three loops: a whole epoch of `lightcnn.engine.loop.fit` (light augmentation, images in
memory, no validation); forward, backward and AdamW on one batch in memory, which is the limit; and a loop over timm's
`create_dataset` and `create_loader` with two workers (random resized crops and mirroring, its lightest augmentation) on
the same PNG files. The networks are MicroMPoxNet at 128 pixels, and the first network of the space micro under 1 MFLOPs
at 32. The numbers are medians of rounds that alternate between the three, and the ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from lightcnn.budget import Budget
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.folder import read_folder
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.data.split import Split
from lightcnn.devices import pick_device
from lightcnn.engine.loop import fit
from lightcnn.network import build
from lightcnn.recipe import PRESETS, Optimisation
from lightcnn.run_folder import environment
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

GOLDEN = Path(__file__).parents[1] / "golden" / "micrompoxnet.yaml"


def networks() -> dict[str, tuple[NetworkSpec, int]]:
    """Name → network and batch."""
    bound = BudgetedSpace(SearchSpace.load("micro").for_data(3, 2, 32), Budget.parse("1MFLOPs"))
    first = bound.fit(bound.first() | {"size": 32})
    assert first is not None and first.spec.input == (3, 32, 32)
    return {"MicroMPoxNet at 128": (NetworkSpec.load(GOLDEN), 32), "1 MFLOPs at 32": (first.spec, 128)}


def written(folder: Path, count: int, size: int) -> Path:
    """Writes `count` synthetic images of two classes as PNG files into class folders."""
    drawn = paint_lesions(count, size, 2, 0, False)
    for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
        place = folder / drawn.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:06}.png")
    return folder


def ours(spec: NetworkSpec, folder: Path, batch: int, device: torch.device) -> Callable[[], int]:
    """An epoch of lightcnn, as a call that returns the number of its images."""
    dataset = read_folder(folder)
    every = torch.arange(len(dataset)).numpy()
    pipeline = Pipeline(dataset, Split(every, every[:0], every[:0]), device)
    images, labels = pipeline.images(every, spec.input[1]), pipeline.labels(every)
    model, settings = build(spec, 0).to(device), Optimisation(epochs=1, batch=batch)

    def epoch() -> int:
        fit(
            model, images, labels, preprocess=pipeline.preprocess(spec.input[1]), settings=settings,
            augmentation=PRESETS["light"], seed=0,
        )  # fmt: skip
        return len(images)

    return epoch


def limit(spec: NetworkSpec, count: int, batch: int, device: torch.device) -> Callable[[], int]:
    """As many steps as an epoch has, on one batch in memory."""
    model = build(spec, 0).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs = torch.randn(batch, *spec.input, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, 2, (batch,), device=device)

    def steps() -> int:
        for _ in range(count // batch):
            step(model, optimizer, inputs, targets)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return count // batch * batch

    return steps


def timms(spec: NetworkSpec, folder: Path, batch: int, device: torch.device) -> Callable[[], int]:
    """An epoch of timm's loader with two workers."""
    from timm.data import create_dataset, create_loader

    dataset = create_dataset("", root=str(folder))
    loader = create_loader(
        dataset, spec.input, batch, is_training=True, use_prefetcher=device.type == "cuda", num_workers=2,
        color_jitter=None, persistent_workers=True, device=device,
    )  # fmt: skip
    model = build(spec, 0).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def epoch() -> int:
        seen = 0
        for inputs, targets in loader:
            ready = inputs.to(device).contiguous(memory_format=torch.channels_last)
            step(model, optimizer, ready, targets.to(device))
            seen += len(inputs)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return seen

    return epoch


def step(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Forward, backward, AdamW; bfloat16 on CUDA, as `fit` does it."""
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=inputs.device.type == "cuda"):
        logits = model(inputs)
        if logits.shape[1] == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), targets.float())
        else:
            loss = nn.functional.cross_entropy(logits, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def speed(call: Callable[[], int]) -> float:
    """Images per second of one call."""
    start = time.perf_counter()
    images = call()
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = pick_device(options.device)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else environment()["processor"]
    print(
        f"{machine}, torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds\n"
    )
    names = ("epoch", "fixed batch", "timm's loader", "epoch/fixed", "epoch/timm")
    print(f"{'images per second':<22}" + "".join(f"{name:>15}" for name in names))
    for name, (spec, batch) in networks().items():
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written(Path(folder), options.images, spec.input[1])
            calls = (ours(spec, Path(folder), batch, device), limit(spec, options.images, batch, device),
                     timms(spec, Path(folder), batch, device))  # fmt: skip
            for call in calls:
                call()
            rounds = [[speed(call) for call in calls] for _ in range(options.rounds)]
        epoch, fixed, timm = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:<22}{epoch:>15,.0f}{fixed:>15,.0f}{timm:>15,.0f}{epoch / fixed:>15.2f}{epoch / timm:>15.2f}")


if __name__ == "__main__":
    main()
