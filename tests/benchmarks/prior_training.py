"""One training of the table of `prior.py`: validation scores along the way, at a constant rate, and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split, subset
from lightcnn.engine.loop import fit
from lightcnn.engine.schedules import DECAY_SHARE
from lightcnn.engine.state import State
from lightcnn.evaluation.calibration import apply_temperature, cross_entropy, fit_temperature
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Optimisation
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.spec import NetworkSpec

FIRST_RUNG = 6_000
"""Images until the first score; the next ones follow at twice as many images each."""
WARM_UP = 6_000
"""Images in which the learning rate rises: the same for all lengths, so that short and long trainings share a start."""
AVERAGE_DECAY, AVERAGE_BATCH = 0.98, 128
"""Decay of the averaged weights in a step of that many images: it ranks best at 48,000 images of Fashion-MNIST."""
MAX_VALIDATION = 2_500
"""Validation images that are read: on Fashion-MNIST 2,500 rank as well as 5,000."""


@dataclass(frozen=True)
class Source:
    """A data set without its test images: the pipeline, and the indices of training and validation images."""

    name: str
    pipeline: Pipeline
    train: NDArray[np.int64]
    val: NDArray[np.int64]

    @classmethod
    def load(cls, name: str) -> Source:
        """Reads a data set and splits it with seed 0."""
        dataset = load(name)
        parts = make_split(dataset, 0)
        pipeline = Pipeline(dataset, parts, torch.device("cpu"))
        return cls(name, pipeline, parts.train, subset(dataset, parts.val, MAX_VALIDATION, 0))

    @property
    def dataset(self) -> Dataset:
        """The data set of the pipeline."""
        return self.pipeline.dataset


def rungs(images: int) -> list[int]:
    """Lengths in images at which a training of `images` is scored before its rate decays."""
    end = (1 - DECAY_SHARE) * images
    return [FIRST_RUNG << number for number in range(64) if FIRST_RUNG << number <= end]


def training_of(source: Source, images: int) -> Optimisation:
    """The settings of a training of that many images."""
    training = default_training(-(-images // len(source.train)), len(source.train))
    return training.model_copy(
        update={
            "schedule": "warmup-stable-decay",
            "steps": -(-images // training.batch),
            "warmup_steps": WARM_UP // training.batch,
            "ema": AVERAGE_DECAY ** (training.batch / AVERAGE_BATCH),
        }
    )


def train(source: Source, spec: NetworkSpec, images: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The scores at every rung, and those at the end; seed 0. Raises: TrainingError if the loss is not finite."""
    settings, size = training_of(source, images), spec.input[1]
    state = State(build(spec, 0), settings, len(source.train))
    train_until = partial(
        fit,
        state.model,
        source.pipeline.images(source.train, size),
        source.pipeline.labels(source.train),
        preprocess=source.pipeline.preprocess(size),
        settings=settings,
        augmentation=default_augment(source.dataset.channels, len(source.train)),
        seed=0,
        state=state,
    )
    scores = []
    for length in (*rungs(images), images):
        train_until(until=-(-length // settings.batch))
        scores.append({"images": length, "steps": state.step, **both(source, state, size)})
    return scores[:-1], scores[-1]


def both(source: Source, state: State, size: int) -> dict[str, Any]:
    """Validation scores of the live and of the averaged weights."""
    return {"live": score(source, state.model, size), "averaged": score(source, state.judged, size)}


def score(source: Source, model: torch.nn.Module, size: int) -> dict[str, float]:
    """Accuracy and calibrated log loss on the validation images."""
    labels = source.dataset.labels[source.val]
    predicted = probabilities(model, source.pipeline.images(source.val, size), source.pipeline.preprocess(size))
    calibrated = apply_temperature(predicted, fit_temperature(labels, predicted).value)
    return {
        "accuracy": float((predicted.argmax(axis=1) == labels).mean()),
        "log_loss": cross_entropy(labels, calibrated),
    }
