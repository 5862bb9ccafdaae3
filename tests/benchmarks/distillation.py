"""How much a small network should learn from a teacher on few images, and whether short trainings should as well.

    lightcnn train finetune --data synthetic-lesions:count=440,classes=4,size=96,seed=3 --epochs 10 \
        --set network.weights=tf_efficientnet_lite0.safetensors --set network.input=[3,96,96] --out teacher
    python tests/benchmarks/distillation.py teacher [--networks 12] [--processes 2]

Trains random networks of `micro` at 1 MFLOPs on the training images of the teacher, each with several settings of
`distill`, as a search trains them: scored at three rungs and at the end. All scores are those on 800 further generated
images. Printed are, for each setting, means over networks at the end, the paired difference to trainings without the
teacher with its standard error over networks, and Spearman's rank correlation of the log loss at each rung with that at
the end: of rungs with the same setting, and of rungs without the teacher. The test set is not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from prior_training import Source, training_of
from scipy.stats import spearmanr

from lightcnn.budget import Budget
from lightcnn.data.dataset import Dataset
from lightcnn.data.sources.load import load
from lightcnn.engine.distillation import Lessons
from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Distillation
from lightcnn.recipe_defaults import default_augment
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.trainings.training import calibrated_log_loss
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec
from lightcnn.teacher import TeacherRun, open_teacher
from lightcnn.trained_network import TrainedNetwork

DATA = "synthetic-lesions:count=440,classes=4,size=96,seed=3"
JUDGES = "synthetic-lesions:count=800,classes=4,size=96,seed=1003"
BUDGET = "1MFLOPs"
LENGTHS = (6_000, 12_000, 24_000, 60_000)
"""Images of the rungs and of the whole training."""
SETTINGS = ((0.0, 1.0), (0.5, 4.0), (0.9, 2.0))
"""Pairs of alpha and temperature; alpha 0 is without the teacher."""
Score = tuple[float, float]
"""Accuracy and calibrated log loss."""


def networks(data: Dataset, count: int) -> list[NetworkSpec]:
    """Random networks as a search proposes them."""
    space, random = SearchSpace.load("micro").for_data(data.channels, len(data.classes), data.size), Random(0)
    budgeted = BudgetedSpace(space, Budget.parse(BUDGET))
    return [budgeted.candidate(space.draw(random), random).spec for _ in range(count)]


def scored(predicted: np.ndarray, labels: np.ndarray) -> Score:
    """Accuracy of predictions (N, classes) for labels (N,), and the log loss by which a search compares rungs."""
    return float((predicted.argmax(axis=1) == labels).mean()), calibrated_log_loss(labels, predicted)


def taught_by(teacher: str) -> NDArray[np.float32]:
    """What the teacher predicts for the training images (N, classes)."""
    source = Source.load(DATA)
    opened = open_teacher(teacher, source.dataset, source.train, key="teacher", device="cpu")
    assert isinstance(opened, TeacherRun)
    return opened.predict(source.dataset, source.train).probabilities


def train(taught: NDArray[np.float32], spec: NetworkSpec, alpha: float, temperature: float) -> list[Score]:
    """The scores of one training at its rungs and at its end, by the averaged weights; seed 0.

    `taught` (N, classes) is what the teacher predicts for the training images.
    """
    torch.set_num_threads(1)
    source, judges, size = Source.load(DATA), Source.load(JUDGES), spec.input[1]
    lessons = None
    if alpha:
        distill = Distillation(teacher="teacher", alpha=alpha, temperature=temperature)
        lessons = Lessons(distill, torch.from_numpy(taught))
    settings, preprocess = training_of(source, LENGTHS[-1]), source.pipeline.preprocess(size)
    state, others = State(build(spec, 0), settings, len(source.train)), np.arange(len(judges.dataset))
    scores = []
    for images in LENGTHS:
        fit(
            state.model, source.pipeline.images(source.train, size), source.pipeline.labels(source.train), seed=0,
            preprocess=preprocess, settings=settings, state=state, until=-(-images // settings.batch), lessons=lessons,
            augmentation=default_augment(source.dataset.channels, len(source.train)),
        )  # fmt: skip
        predicted = probabilities(state.judged, judges.pipeline.images(others, size), preprocess)
        scores.append(scored(predicted, judges.dataset.labels))
    return scores


def teacher_score(teacher: str) -> Score:
    """The score of the teacher itself."""
    network, judges = TrainedNetwork.load(RunFolder.load(teacher), device="cpu"), load(JUDGES)
    pixels = torch.stack([network.prepare(image) for image in judges.images])
    return scored(probabilities(network.model, pixels, network.preprocess), judges.labels)


def correlations(losses: np.ndarray, ends: Sequence[float]) -> str:
    """Spearman's rank correlation of the losses (networks, rungs) at each rung with those at the end."""
    return ", ".join(f"{spearmanr(rung, ends).statistic:.2f}" for rung in losses.T)


def print_table(scores: np.ndarray) -> None:
    """Prints a row for each setting from scores (settings, networks, lengths, 2)."""
    columns = ("alpha", "temperature", "accuracy", "log loss", "accuracy less without", "log loss less without")
    print(f"| {' | '.join(columns)} | rank correlation of the rungs | of rungs without |\n" + "|---" * 8 + "|")
    ends, plain = scores[:, :, -1], scores[0]
    for (alpha, temperature), of_networks, end in zip(SETTINGS, scores, ends, strict=True):
        gain = end - plain[:, -1]
        means, errors = gain.mean(axis=0), gain.std(axis=0, ddof=1) / len(gain) ** 0.5
        cells = [f"{end[:, 0].mean():.1%}", f"{end[:, 1].mean():.3f}", "–", "–"]
        if alpha:
            cells[2:] = f"{100 * means[0]:+.1f} ± {100 * errors[0]:.1f}", f"{means[1]:+.3f} ± {errors[1]:.3f}"
        ranks = [correlations(each[:, :-1, 1], end[:, 1]) for each in (of_networks, plain)]
        print("| " + " | ".join([f"{alpha:g}", f"{temperature:g}" if alpha else "–", *cells, *ranks]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="run folder")
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("teacher: accuracy {:.1%}, log loss {:.3f}".format(*teacher_score(options.teacher)), flush=True)
    specs, taught = networks(load(DATA), options.networks), taught_by(options.teacher)
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(train, taught, spec, *setting) for setting, spec in product(SETTINGS, specs)]
        scores = np.array([job.result() for job in jobs])
    print_table(scores.reshape(len(SETTINGS), len(specs), len(LENGTHS), 2))


if __name__ == "__main__":
    main()
