"""The mean loss of an epoch, and the batch in which the loss stopped being finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.errors import TrainingError

CHECK_INTERVAL = 32
"""Batches between two checks of the losses on a GPU: each check waits for the device."""


def count_alone(indices: NDArray[np.int64]) -> str:
    """Describes a batch by its size, for images without names."""
    return f"{len(indices):,} images"


@dataclass(frozen=True)
class EpochPart:
    """The part of an epoch that is done: the sum of the losses of its images, their number, and seconds."""

    total: float = 0.0
    images: int = 0
    seconds: float = 0.0

    def mean(self) -> float:
        """The mean loss of an image."""
        return self.total / self.images


NOTHING = EpochPart()


class Tally:
    """Sums the losses of one epoch, of which `earlier` is done already.

    `describe_batch` puts the images at given indices into words.
    """

    def __init__(
        self,
        device: torch.device,
        epoch: int,
        describe_batch: Callable[[NDArray[np.int64]], str],
        earlier: EpochPart = NOTHING,
    ) -> None:
        self._earlier = earlier
        self._total = torch.tensor(earlier.total, dtype=torch.float32, device=device)
        self._images = earlier.images
        self._epoch = epoch
        self._describe_batch = describe_batch
        self._unchecked: list[tuple[Tensor, NDArray[np.int64]]] = []
        self._interval = 1 if device.type == "cpu" else CHECK_INTERVAL

    def add(self, loss: Tensor, batch: NDArray[np.int64]) -> None:
        """Adds the mean loss of a batch. Raises: TrainingError if a loss is not finite, on a GPU some batches later."""
        self._total += loss * len(batch)
        self._images += len(batch)
        self._unchecked.append((loss, batch))
        if len(self._unchecked) >= self._interval:
            self._check()

    def part(self, seconds: float) -> EpochPart:
        """The epoch so far, after `seconds` more. Raises: TrainingError if a loss is not finite."""
        self._check()
        return EpochPart(self._total.item(), self._images, self._earlier.seconds + seconds)

    def _check(self) -> None:
        for loss, batch in self._unchecked:
            if not math.isfinite(loss.item()):
                raise TrainingError(
                    f"the loss became {loss.item()} in epoch {self._epoch}; lower training.learning_rate, or clip "
                    f"gradients with training.clip_norm=1; images of the batch: {self._describe_batch(batch)}"
                )
        self._unchecked.clear()
