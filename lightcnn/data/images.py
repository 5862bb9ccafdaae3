"""Protocols of prepared images, which training and evaluation read in batches, wherever they are stored."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Images(Protocol):
    """uint8 images (N, C, H, W), in order; a tensor satisfies it."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def device(self) -> torch.device: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Tensor | slice, /) -> Tensor: ...


class Store(Protocol):
    """uint8 images (N, C, H, W) that are read by their indices."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def device(self) -> torch.device: ...
    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


class View:
    """The images of a store at `indices`, moved to a device when they are read."""

    def __init__(self, store: Store, indices: NDArray[np.int64], device: torch.device) -> None:
        self._store = store
        self._indices = torch.from_numpy(indices).to(store.device)
        self.device = device
        self.shape = torch.Size((len(indices), *store.shape[1:]))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: Tensor | slice, /) -> Tensor:
        """uint8 (rows, C, H, W)."""
        chosen = rows.to(self._store.device) if isinstance(rows, Tensor) else rows
        return self._store[self._indices[chosen]].to(self.device, non_blocking=True)
