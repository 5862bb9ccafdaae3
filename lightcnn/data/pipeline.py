"""Images as tensors, ready for a network: decoded once, resized once for each input size, kept in memory as uint8."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.dataset import Dataset
from lightcnn.data.decode import SHORTER_SIDE
from lightcnn.data.preprocess import Preprocess, resize, statistics
from lightcnn.data.split import Split

KEPT_BYTES = 2_000_000_000
"""Resized images that are kept for the next training, in bytes; beyond it they are resized anew."""


class Pipeline:
    """A dataset and its split on one device."""

    def __init__(self, dataset: Dataset, split: Split, device: torch.device) -> None:
        self.dataset = dataset
        self.split = split
        self.device = device
        self._resized: dict[tuple[bytes, int], Tensor] = {}
        self._preprocess = lru_cache(maxsize=16)(self._measure)

    def images(self, indices: NDArray[np.int64], size: int) -> Tensor:
        """uint8 (N, C, size, size) of the images at `indices`, on the device, kept for the next call while few."""
        key = (indices.tobytes(), size)
        if key not in self._resized:
            if sum(images.numel() for images in self._resized.values()) > KEPT_BYTES:
                self.forget()
            self._resized[key] = self._resize(indices, size)
        return self._resized[key]

    def labels(self, indices: NDArray[np.int64]) -> Tensor:
        """int64 (N,) on the device."""
        return torch.from_numpy(self.dataset.labels[indices]).to(self.device)

    def preprocess(self, size: int) -> Preprocess:
        """The rule for networks with that input, with the training side's statistics."""
        return self._preprocess(size)

    def forget(self) -> None:
        """Frees the resized images."""
        self._resized.clear()

    def document(self) -> dict[str, Any]:
        """The `data` of report.json."""
        dataset, split = self.dataset, self.split
        counts = {name: len(set(dataset.groups[getattr(split, name)].tolist())) for name in split.counts()}
        return {
            "source": dataset.source,
            "stand_in": dataset.stand_in,
            "fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "counts": split.counts(),
            "groups": {"known": dataset.groups_known, "counts": counts},
            "groups_shared": split.groups_shared(dataset),
            "note": dataset.note,
        }

    def _resize(self, indices: NDArray[np.int64], size: int) -> Tensor:
        images = self.dataset.images
        chosen = images[indices] if isinstance(images, np.ndarray) else [images[i] for i in indices]
        return resize(chosen, size).to(self.device)

    def _measure(self, size: int) -> Preprocess:
        # Up to 20,000 images fix the mean to a few thousandths of the deviation; resizing all for that is waste.
        chosen = self.split.train[:: -(-len(self.split.train) // 20_000)]
        mean, deviation = statistics(self._resize(chosen, size))
        return Preprocess(
            size=size,
            channels=cast(Any, self.dataset.channels),
            shorter_side=SHORTER_SIDE,
            mean=mean,
            deviation=deviation,
            classes=self.dataset.classes,
        )
