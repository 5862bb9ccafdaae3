"""A dataset with its split and preprocessing, which provides images for networks of any input size."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.decode import SHORTER_SIDE
from lightcnn.data.images import Images, Store, View
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.split import Split, data_document
from lightcnn.data.store import make_store, open_images, shared_images
from lightcnn.data.tensors import channel_statistics
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Preparation

KEPT_BYTES = 2_000_000_000
"""Bytes of prepared images of several sizes that are kept for the next training; above it the oldest are freed."""
STATISTICS_IMAGES = 20_000
"""About the most images from which mean and deviation are computed: enough to fix the mean to a few thousandths of the
deviation."""


class Pipeline:
    """A dataset and its split on one device; the training set decides the scale of intensities."""

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        device: torch.device,
        preparation: Preparation | None = None,
        progress: Progress = no_progress,
        *,
        normalised: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    ) -> None:
        """`normalised`: mean and deviation per channel (0..1) that pretrained weights expect; default: measured."""
        self.dataset = dataset.scaled_to(split.train)
        self.split = split
        self.device = device
        self.preparation = preparation or Preparation()
        self._progress = progress
        self._normalised = normalised
        self._stores: dict[int, Store] = {}
        self._preprocess = lru_cache(maxsize=16)(self._measure)

    def images(self, indices: NDArray[np.int64], size: int) -> Images:
        """The images at `indices`, uint8 (N, C, size, size), moved to the device when they are read."""
        if size not in self._stores:
            while sum(images.numel() for images in self._stores.values() if isinstance(images, Tensor)) > KEPT_BYTES:
                del self._stores[next(iter(self._stores))]  # the one that was made first
            self._stores[size] = make_store(self.dataset, self.preparation, size, self.device, self._progress)
        return View(self._stores[size], indices, self.device)

    def shared(self, size: int, progress: Progress | None = None) -> Path | None:
        """The file of all images prepared for that input size, for other processes; None if there is no space."""
        path = shared_images(self.dataset, self.preparation, size, progress or self._progress)
        if path is not None:
            self._stores.setdefault(size, open_images(path).to(self.device))
        return path

    def labels(self, indices: NDArray[np.int64]) -> Tensor:
        """The labels at `indices`, int64 (N,) on the device."""
        return torch.from_numpy(self.dataset.labels[indices]).to(self.device)

    def preprocess(self, size: int) -> Preprocess:
        """The preprocessing for networks of that input size, with the mean and deviation that normalise images."""
        return self._preprocess(size)

    def with_split(self, split: Split) -> Pipeline:
        """The same images with another split; both share the prepared images if they have one scale."""
        other = Pipeline(
            self.dataset, split, self.device, self.preparation, self._progress, normalised=self._normalised
        )
        if other.dataset.scale == self.dataset.scale:
            other._stores = self._stores
        return other

    def forget(self) -> None:
        """Frees the prepared images."""
        self._stores.clear()

    def document(self) -> dict[str, Any]:
        """The `data` of report.json."""
        return data_document(self.dataset, self.split)

    def _measure(self, size: int) -> Preprocess:
        chosen = self.split.train[:: -(-len(self.split.train) // STATISTICS_IMAGES)]
        mean, deviation = self._normalised or channel_statistics(self.images(chosen, size))
        return Preprocess(
            **self.preparation.model_dump(),
            size=size,
            channels=cast(Any, self.dataset.channels),
            shorter_side=SHORTER_SIDE,
            scale=self.dataset.scale,
            mean=mean,
            deviation=deviation,
            classes=self.dataset.classes,
            stand_in=self.dataset.stand_in,
        )
