"""A dataset, its split and its preprocessing, ready for networks of any input size."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.decode import SHORTER_SIDE
from lightcnn.data.images import Images, Store, View
from lightcnn.data.preprocess import Preprocess, statistics
from lightcnn.data.split import Split, data_document
from lightcnn.data.store import store
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Preparation

KEPT_BYTES = 2_000_000_000
"""Prepared images of several sizes that are kept for the next training; beyond it they are prepared anew."""
MEASURED = 20_000
"""Images that mean and deviation are taken from: they fix the mean to a few thousandths of the deviation."""


class Pipeline:
    """A dataset and its split on one device."""

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        device: torch.device,
        rule: Preparation | None = None,
        progress: Progress = no_progress,
        *,
        normalised: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    ) -> None:
        """`normalised`: mean and deviation per channel (0..1) that pretrained weights expect."""
        self.dataset = dataset
        self.split = split
        self.device = device
        self.rule = rule or Preparation()
        self._progress = progress
        self._normalised = normalised
        self._stores: dict[int, Store] = {}
        self._preprocess = lru_cache(maxsize=16)(self._measure)

    def images(self, indices: NDArray[np.int64], size: int) -> Images:
        """uint8 (N, C, size, size) of the images at `indices`, on the device when read."""
        if size not in self._stores:
            if sum(held.numel() for held in self._stores.values() if isinstance(held, Tensor)) > KEPT_BYTES:
                self.forget()
            self._stores[size] = store(self.dataset, self.rule, size, self.device, self._progress)
        return View(self._stores[size], indices, self.device)

    def labels(self, indices: NDArray[np.int64]) -> Tensor:
        """int64 (N,) on the device."""
        return torch.from_numpy(self.dataset.labels[indices]).to(self.device)

    def preprocess(self, size: int) -> Preprocess:
        """The rule for networks with that input, with the statistics that images are normalised with."""
        return self._preprocess(size)

    def resplit(self, split: Split) -> Pipeline:
        """The same images on other sides; those that are prepared serve both."""
        other = Pipeline(self.dataset, split, self.device, self.rule, self._progress, normalised=self._normalised)
        other._stores = self._stores
        return other

    def forget(self) -> None:
        """Frees the prepared images."""
        self._stores.clear()

    def document(self) -> dict[str, Any]:
        """The `data` of report.json."""
        return data_document(self.dataset, self.split)

    def _measure(self, size: int) -> Preprocess:
        chosen = self.split.train[:: -(-len(self.split.train) // MEASURED)]
        mean, deviation = self._normalised or statistics(self.images(chosen, size))
        return Preprocess(
            **self.rule.model_dump(),
            size=size,
            channels=cast(Any, self.dataset.channels),
            shorter_side=SHORTER_SIDE,
            mean=mean,
            deviation=deviation,
            classes=self.dataset.classes,
            stand_in=self.dataset.stand_in,
        )
