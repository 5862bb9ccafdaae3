"""How candidates are scored. No other module of the search trains a network."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.engine.loop import Epoch, fit
from lightcnn.errors import TrainingError
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Optimisation, default_augment, default_training
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.halving import Fidelity
from lightcnn.searching.progress import SILENT, SearchProgress
from lightcnn.searching.settings import SearchSettings
from lightcnn.spec import NetworkSpec
from lightcnn.text import first_line

WARM_UP_IMAGES = 512
SPEED_IMAGES = 2048
"""Images that the speed of training is measured on."""


class Scorer(Protocol):
    """What the search loop needs: the score of a candidate at a fidelity, the higher the better.

    A candidate is whatever the space makes. An error that the scorer raises fails the trial, not the search.
    """

    def __call__(self, candidate: Any, fidelity: Fidelity, /) -> float: ...


class CandidateTrainer:
    """Trains networks from scratch on one data set, all in the same way."""

    def __init__(self, pipeline: Pipeline, settings: SearchSettings, progress: SearchProgress) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.progress = progress
        self.augment = settings.augment or default_augment(pipeline.dataset.channels, len(pipeline.split.train))

    def train(
        self, spec: NetworkSpec, indices: NDArray[np.int64], training: Optimisation, seed: int
    ) -> tuple[nn.Module, list[Epoch]]:
        """A network trained from scratch on the images at `indices`, and its epochs.

        Raises: TrainingError if the training diverges or runs out of memory.
        """
        size = spec.input[1]
        model = build(spec, seed).to(self.pipeline.device)
        epochs: list[Epoch] = []

        def watch(epoch: Epoch) -> None:
            epochs.append(epoch)
            self.progress.epoch(epoch, training.epochs)

        try:
            fit(
                model,
                self.pipeline.images(indices, size),
                self.pipeline.labels(indices),
                preprocess=self.pipeline.preprocess(size),
                settings=training,
                augmentation=self.augment,
                seed=seed,
                on_epoch=watch,
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TrainingError(f"out of memory with batches of {training.batch}: {first_line(error)}") from error
        return model, epochs

    def predict(self, model: nn.Module, indices: NDArray[np.int64], size: int) -> NDArray[np.float64]:
        """Class probabilities (N, classes) of the images at `indices`."""
        return probabilities(model, self.pipeline.images(indices, size), self.pipeline.preprocess(size))

    def accuracy(self, model: nn.Module, indices: NDArray[np.int64], size: int) -> float:
        """The share of the images at `indices` that are classified correctly."""
        return float(
            (self.predict(model, indices, size).argmax(axis=1) == self.pipeline.dataset.labels[indices]).mean()
        )

    def images_per_second(self, space: BudgetedSpace) -> float:
        """The speed of training on this machine, measured on the first network of the space after a warm-up."""
        silent = CandidateTrainer(self.pipeline, self.settings, SILENT)
        candidate = space.fit(space.first()) or space.inspect(space.space.smallest())
        indices = self.pipeline.split.train[:SPEED_IMAGES]
        silent.train(candidate.spec, indices[:WARM_UP_IMAGES], Optimisation(epochs=1), 0)
        start = time.monotonic()
        silent.train(candidate.spec, indices, Optimisation(epochs=1), 0)
        return len(indices) / (time.monotonic() - start)


class ShortTraining:
    """The `Scorer` of a search: validation accuracy after a short training on the images at `indices`."""

    def __init__(self, trainer: CandidateTrainer, indices: NDArray[np.int64]) -> None:
        self.trainer = trainer
        self.indices = indices

    def __call__(self, candidate: Candidate, fidelity: Fidelity, /) -> float:
        """Validation accuracy (0..1). Raises: TrainingError if the training diverges or runs out of memory."""
        training = default_training(fidelity.epochs, len(self.indices))
        model, _ = self.trainer.train(candidate.spec, self.indices, training, fidelity.seed)
        return self.trainer.accuracy(model, self.trainer.pipeline.split.val, candidate.spec.input[1])
