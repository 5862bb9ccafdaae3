"""Does a second training of a network learn more if it also learns from the first ones, on the same images?

    python tests/benchmarks/taught_seeds.py fashion_mnist.npz 1MFLOPs 384000
    python tests/benchmarks/taught_seeds.py synthetic-lesions:classes=6,size=64,count=3000 300kFLOPs 160000
    python tests/benchmarks/taught_seeds.py fashion_mnist.npz 1MFLOPs 768000 --halves
    python tests/benchmarks/taught_seeds.py fashion_mnist.npz 1MFLOPs 384000 --teachers 1
    python tests/benchmarks/taught_seeds.py fashion_mnist.npz 1MFLOPs 1100000 --first 300000

The first network of `micro` for the budget is trained for so many images with two seeds, as a search trains it. Then it
is trained with two other seeds, once without a teacher and once with the mean of what those two predict for the
training images, or with what the first one predicts (`--teachers 1`). With `--first N`, the teachers are trained for N
images, and those that learn from them for the rest: a search with two workers would take as long for both as for two
trainings without a teacher. `--halves` is `--first` with half of the images.

All are judged on the validation images; nothing is chosen by them. The table has the accuracy and the log loss of each,
and the difference of accuracies with the same seed, with its standard error over images.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from first_network import first_network
from numpy.typing import NDArray
from search_table import header, line

from lightcnn.engine.distillation import Lessons
from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Distillation
from lightcnn.recipe_defaults import default_augment, default_training

TEACHERS, STUDENTS = (1, 2), (3, 4)
"""Seeds."""
DECAY_SHARE = 0.2
"""Share of the steps in which the learning rate falls, as in a search."""
Table = NDArray[np.float32]


@dataclass(frozen=True)
class Setup:
    """The first network for some images and a budget, trained for so many images."""

    data: str
    budget: str
    images: int


@dataclass(frozen=True)
class Trained:
    """What a network predicts for the training images (N, K), and whether each validation image is correct (M,)."""

    predicted: Table
    correct: NDArray[np.bool_]
    log_loss: float


def train(setup: Setup, seed: int, taught: Table | None, distillation: Distillation) -> Trained:
    """Trains the network, with the probabilities `taught` (N, K) as a part of its targets if there are any."""
    torch.set_num_threads(1)
    pipeline, spec = first_network(setup.data, setup.budget)
    split, dataset, size = pipeline.split, pipeline.dataset, spec.input[1]
    count = len(split.train)
    settings = default_training(math.ceil(setup.images / count), count)
    steps = round(setup.images / settings.batch)
    settings = settings.model_copy(update={
        "steps": steps, "threads": 1, "schedule": "warmup-stable-decay", "warmup_steps": 50,
        "decay_steps": round(DECAY_SHARE * steps), "learning_rate": 0.01, "ema": 0.995,
    })  # fmt: skip
    state = State(build(spec, seed), settings, count)
    fit(
        state.model, pipeline.images(split.train, size), pipeline.labels(split.train), seed=seed,
        preprocess=pipeline.preprocess(size), settings=settings, state=state, until=steps,
        lessons=None if taught is None else Lessons(distillation, torch.from_numpy(taught)),
        augmentation=default_augment(dataset.channels, count),
    )  # fmt: skip
    of_training, of_validation = (
        probabilities(state.judged, pipeline.images(part, size), pipeline.preprocess(size)).astype(np.float32)
        for part in (split.train, split.val)
    )
    labels = dataset.labels[split.val]
    losses = -np.log(of_validation[np.arange(len(labels)), labels])
    return Trained(of_training, of_validation.argmax(axis=1) == labels, float(losses.mean()))


def main() -> None:
    """Trains the networks, two at a time, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("budget")
    parser.add_argument("images", type=int)
    parser.add_argument("--first", type=int)
    parser.add_argument("--halves", action="store_true")
    parser.add_argument("--teachers", type=int, choices=(1, 2), default=2)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--temperature", type=float, default=4.0)
    arguments = parser.parse_args()
    distillation = Distillation(teacher="the first two", alpha=arguments.alpha, temperature=arguments.temperature)
    alone = Setup(arguments.data, arguments.budget, arguments.images)
    first = arguments.images // 2 if arguments.halves else arguments.first
    teaching = alone if first is None else replace(alone, images=first)
    learning = alone if first is None else replace(alone, images=arguments.images - first)
    with ProcessPoolExecutor(2) as pool:
        teachers = [pool.submit(train, teaching, seed, None, distillation) for seed in TEACHERS]
        plain = [pool.submit(train, alone, seed, None, distillation) for seed in STUDENTS]
        predicted = [teacher.result().predicted for teacher in teachers[: arguments.teachers]]
        taught_by = np.mean(predicted, axis=0, dtype=np.float64).astype(np.float32)
        taught = [pool.submit(train, learning, seed, taught_by, distillation) for seed in STUDENTS]
        header("training", "seed", "images", "accuracy", "log loss", "less without a teacher")
        for name, setup, seeds, jobs in (
            ("teacher", teaching, TEACHERS, teachers), ("without", alone, STUDENTS, plain),
            ("taught", learning, STUDENTS, taught),
        ):  # fmt: skip
            for index, (seed, job) in enumerate(zip(seeds, jobs, strict=True)):
                result = job.result()
                other = plain[index].result().correct if name == "taught" else result.correct
                difference = 100 * (result.correct.astype(float) - other)
                error = difference.std() / math.sqrt(len(difference))
                cell = f"{difference.mean():+.2f} ± {error:.2f}" if name == "taught" else ""
                line(name, seed, setup.images, f"{result.correct.mean():.2%}", f"{result.log_loss:.4f}", cell)


if __name__ == "__main__":
    main()
