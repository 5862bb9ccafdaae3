"""Which schedule and averaging a search should use: one-cycle against schedules that need no end (decision 0011).

    python tests/benchmarks/schedules.py fashion_mnist.npz [--images 192000] [--seeds 1] [--budget 1MFLOPs]
        [--schedules "one-cycle" "two cycles"]

Trains the first network of `micro` with every schedule to the same number of images, with one thread, and prints
validation accuracy in percent and log loss along the way, of the current weights and of three moving averages. `two
cycles` is one-cycle up to an eighth of the images, as over the longest rung of a search, and a new one-cycle from there
to the end. The test set is not looked at.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from first_network import first_network

from lightcnn.data.pipeline import Pipeline
from lightcnn.engine.loop import fit
from lightcnn.engine.optimizers import Average
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Optimisation
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.spec import NetworkSpec

DECAYS = (0.98, 0.995, 0.999)
WARMUP_STEPS = 200
LENGTHS = (12_000, 24_000, 48_000, 96_000, 192_000, 384_000)
"""Images after which a training is judged, beside the ends of its phases."""
SCHEDULES: dict[str, dict[str, float]] = {
    "one-cycle": {},
    "two cycles": {"first_cycle": 1 / 8},
    "decay of 20 %, rate 0.01": {"decay": 0.2},
    "decay of 35 %, rate 0.01": {"decay": 0.35},
    "decay of 20 %, rate 0.005": {"decay": 0.2, "learning_rate": 0.005},
    "decay of 20 %, rate 0.02": {"decay": 0.2, "learning_rate": 0.02},
}


class AveragedState(State):
    """A training with several moving averages of its weights."""

    def __init__(self, model: torch.nn.Module, settings: Optimisation, images: int) -> None:
        super().__init__(model, settings, images)
        self.averages = {decay: Average(model, decay) for decay in DECAYS}

    def update(self) -> None:
        """Takes one step, and updates the averages."""
        super().update()
        for average in self.averages.values():
            average.update(self.model, self.step)


def phases_of(schedule: str, images: int, train: int) -> list[tuple[int, Optimisation]]:
    """The images of each phase of a training, and its settings; a phase continues the weights of the one before."""
    changes = dict(SCHEDULES[schedule])
    if "first_cycle" not in changes:
        return [(images, settings_of(changes, images, train))]
    first = round(changes["first_cycle"] * images)
    return [(length, settings_of({}, length, train)) for length in (first, images - first)]


def settings_of(changes: dict[str, float], images: int, train: int) -> Optimisation:
    """The settings of a training of so many images."""
    base = default_training(math.ceil(images / train), train)
    steps, changed = round(images / train * math.ceil(train / base.batch)), dict[str, object](changes)
    if "decay" in changes:
        decay_steps = round(changes["decay"] * steps)
        del changed["decay"]
        changed |= {"schedule": "warmup-stable-decay", "warmup_steps": WARMUP_STEPS, "decay_steps": decay_steps}
    return base.model_copy(update={**changed, "steps": steps, "threads": 1})


def run(pipeline: Pipeline, spec: NetworkSpec, schedule: str, images: int, seed: int) -> None:
    """Trains one network, and prints a row at each of some lengths."""
    dataset, split, size = pipeline.dataset, pipeline.split, spec.input[1]
    model, done = build(spec, seed), 0
    for number, (phase, settings) in enumerate(phases_of(schedule, images, len(split.train))):
        state = AveragedState(model, settings, len(split.train))
        for length in sorted({*(each for each in LENGTHS if done < each < done + phase), done + phase}):
            fit(
                model, pipeline.images(split.train, size), pipeline.labels(split.train), settings=settings,
                seed=seed + 1_000 * number, preprocess=pipeline.preprocess(size),
                augmentation=default_augment(dataset.channels, len(split.train)), state=state,
                until=round((length - done) / len(split.train) * state.steps_per_epoch),
            )  # fmt: skip
            print(f"  {length:>9,}  {scores(pipeline, state, size)}", flush=True)
        done += phase


def scores(pipeline: Pipeline, state: AveragedState, size: int) -> str:
    """The cells of a row: of the current weights and of their averages."""
    labels, cells = pipeline.dataset.labels[pipeline.split.val], []
    for judged in (state.model, *(average.model for average in state.averages.values())):
        predicted = probabilities(judged, pipeline.images(pipeline.split.val, size), pipeline.preprocess(size))
        loss = -np.log(predicted[np.arange(len(labels)), labels]).mean()
        cells.append(f"{100 * (predicted.argmax(axis=1) == labels).mean():.2f} ({loss:.4f})")
    return "  ".join(f"{cell:>15}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=192_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", default="1MFLOPs")
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=list(SCHEDULES))
    options = parser.parse_args()
    pipeline, spec = first_network(options.data, options.budget)
    for seed in range(1, options.seeds + 1):
        for schedule in options.schedules:
            print(f"seed {seed}, {schedule}: current weights, and averages of {', '.join(map(str, DECAYS))}")
            run(pipeline, spec, schedule, options.images, seed)


if __name__ == "__main__":
    main()
