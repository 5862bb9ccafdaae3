"""Knowledge distillation: what a trained network predicts for the training images is a part of the targets."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.augmentation.batch import mixed_rows
from lightcnn.recipe import Augment, Distillation


class Lessons:
    """What a teacher predicts for all training images, for the batches of a training.

    The predictions are those of the images without augmentation, so that a teacher of any size costs no time.
    """

    def __init__(self, settings: Distillation, probabilities: Tensor) -> None:
        """`probabilities` (N, classes) of the N training images, in their order, on the device of the training."""
        self.settings = settings
        self._probabilities = probabilities

    @cached_property
    def targets(self) -> Tensor:
        """The probabilities (N, classes), float32, at the temperature of the settings."""
        smallest = torch.finfo(torch.float32).tiny
        logits = self._probabilities.float().clamp_min(smallest).log()
        return (logits / self.settings.temperature).softmax(dim=1)

    def batch(
        self, indices: NDArray[np.int64], augmentation: Augment, *, seed: int, epoch: int, size: tuple[int, int]
    ) -> Tensor:
        """The targets (B, classes) of a batch, mixed like its images of that size (H, W)."""
        return mixed_rows(self.targets, indices, settings=augmentation, seed=seed, epoch=epoch, size=size)
