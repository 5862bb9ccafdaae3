"""The loss of an epoch, batch by batch, and the batch in which it stopped being a number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.errors import TrainingError

LATE = 32
"""Batches after which losses on another device than the CPU are looked at: each look waits for the device."""


def count_alone(indices: NDArray[np.int64]) -> str:
    """A batch whose images have no names."""
    return f"{len(indices):,} images"


class Tally:
    """Losses of one epoch. `named` says in words which images are at some indices."""

    def __init__(self, device: torch.device, epoch: int, named: Callable[[NDArray[np.int64]], str]) -> None:
        self._total = torch.zeros((), device=device)
        self._images = 0
        self._epoch = epoch
        self._named = named
        self._unseen: list[tuple[Tensor, NDArray[np.int64]]] = []
        self._patience = 1 if device.type == "cpu" else LATE

    def add(self, loss: Tensor, batch: NDArray[np.int64]) -> None:
        """The mean loss of a batch. Raises: TrainingError where one is not finite, some batches late off the CPU."""
        self._total += loss * len(batch)
        self._images += len(batch)
        self._unseen.append((loss, batch))
        if len(self._unseen) >= self._patience:
            self._look()

    def mean(self) -> float:
        """Over all images. Raises: as `add`."""
        self._look()
        return self._total.item() / self._images

    def _look(self) -> None:
        for loss, batch in self._unseen:
            if not math.isfinite(loss.item()):
                raise TrainingError(
                    f"the loss became {loss.item()} in epoch {self._epoch}; lower training.learning_rate, or limit "
                    f"steps with training.clip_norm=1; the batch: {self._named(batch)}"
                )
        self._unseen.clear()
