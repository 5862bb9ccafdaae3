"""Does the log loss of a network at the full learning rate say whether a longer training helps?

    python tests/benchmarks/learning.py synthetic-lesions:classes=6,size=64,count=3000 300kFLOPs 204000 408000 816000
    python tests/benchmarks/learning.py fashion_mnist.npz 1MFLOPs 510000 1020000 --seeds 1

The first network of `micro` for the budget is trained to each length with two seeds, as a search trains it, two at a
time with one thread each. The table has the log loss of the averaged weights on the validation images after 40 and 80 %
of the steps, by how much it fell, which is what decides about going on (decision 0019), and the accuracy at the end:
on the validation images, and of synthetic lesions also on 3,000 others, which decide nothing.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from first_network import first_network
from numpy.typing import NDArray
from search_table import header, line
from torch import nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.data.tensors import network_pixels
from lightcnn.engine.loop import fit
from lightcnn.engine.schedules import DECAY_SHARE
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.searching.plan import AVERAGING
from lightcnn.searching.trainings.training import calibrated_log_loss

SEEDS = (3, 4)
WARMUP_STEPS = 100
OTHERS, OTHER_SEED = 3_000, 7


@dataclass(frozen=True)
class Trained:
    """Log losses after 40 and 80 % of the steps, and accuracies at the end, the second one of other images."""

    half: float
    stable: float
    validation: float
    others: float | None

    @property
    def fall(self) -> float:
        """The share by which the log loss fell while the training doubled."""
        return 1 - self.stable / self.half


def train(data: str, budget: str, images: int, seed: int) -> Trained:
    """Trains the first network for so many images."""
    torch.set_num_threads(1)
    pipeline, spec = first_network(data, budget)
    split, dataset, size = pipeline.split, pipeline.dataset, spec.input[1]
    count, labels = len(split.train), dataset.labels[split.val]
    base = default_training(math.ceil(images / count), count)
    steps = round(images / base.batch)
    settings = base.model_copy(
        update={"steps": steps, "threads": 1, "schedule": "warmup-stable-decay", "warmup_steps": WARMUP_STEPS,
                "decay_steps": round(DECAY_SHARE * steps), "ema": AVERAGING}
    )  # fmt: skip
    state = State(build(spec, seed), settings, count)

    def predicted(until: int) -> NDArray[np.float64]:
        fit(
            state.model, pipeline.images(split.train, size), pipeline.labels(split.train), seed=seed,
            preprocess=pipeline.preprocess(size), settings=settings, state=state, until=until,
            augmentation=default_augment(dataset.channels, count),
        )  # fmt: skip
        return probabilities(state.judged, pipeline.images(split.val, size), pipeline.preprocess(size))

    half, stable = (calibrated_log_loss(labels, predicted(round(share * steps))) for share in (0.4, 0.8))
    correct = float((predicted(steps).argmax(axis=1) == labels).mean())
    return Trained(half, stable, correct, _others(data, pipeline, state.judged, size))


def _others(data: str, pipeline: Pipeline, model: nn.Module, size: int) -> float | None:
    """The accuracy on lesions of other patients; None for other data."""
    if not data.startswith("synthetic-lesions"):
        return None
    classes, pixels = pipeline.dataset.classes, pipeline.dataset.size
    lesions = paint_lesions(count=OTHERS, size=pixels, classes=len(classes), seed=OTHER_SEED)
    rule = pipeline.preprocess(size)
    images = torch.stack([network_pixels(image, rule) for image in lesions.images])
    names = np.array([lesions.classes[label] for label in lesions.labels])
    return float((np.array(classes)[probabilities(model, images, rule).argmax(axis=1)] == names).mean())


def main() -> None:
    """Trains the networks, two at a time, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("budget")
    parser.add_argument("images", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, choices=(1, 2), default=2)
    options = parser.parse_args()
    header("images", "seed", "log loss at 40 %", "at 80 %", "fall", "validation", "other images")
    with ProcessPoolExecutor(2) as pool:
        rows = [(images, seed) for images in options.images for seed in SEEDS[: options.seeds]]
        jobs = [pool.submit(train, options.data, options.budget, *row) for row in rows]
        for (images, seed), job in zip(rows, jobs, strict=True):
            row = job.result()
            others = "" if row.others is None else f"{row.others:.2%}"
            line(
                images, seed, f"{row.half:.4f}", f"{row.stable:.4f}", f"{row.fall:.1%}", f"{row.validation:.2%}", others
            )


if __name__ == "__main__":
    main()
