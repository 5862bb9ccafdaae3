"""Random numbers as hashes of (seed, epoch, image index, name): without a state, and equal in any order of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAW_NAMES = (
    "rotate", "shear", "zoom", "flip", "shift", "shift_height", "warped", "order", "flip_vertical", "crop", "crop_x",
    "crop_y", "filtered", "sharpened", "sharpen", "blur", "brightness", "contrast", "saturation", "noise", "noise_key",
    "erased", "erase", "erase_ratio", "erase_x", "erase_y", "red", "green", "blue", "partner", "cut", "weight",
    "cut_x", "cut_y",
)  # fmt: skip
"""The numbers that are drawn for an image in an epoch. Add new names at the end: a position is a column of the hash."""

COLUMN = {name: column for column, name in enumerate(DRAW_NAMES)}


@dataclass(frozen=True)
class Draws:
    """Numbers in [0, 1), shape (N, len(DRAW_NAMES)): one row per image."""

    values: NDArray[np.float64]

    @classmethod
    def of(cls, seed: int, epoch: int, indices: NDArray[np.int64]) -> Draws:
        """The numbers for the images at `indices` in an epoch."""
        return cls(uniform(seed, epoch, indices, range(len(DRAW_NAMES))))

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """Numbers in [0, 1), shape (N,)."""
        return self.values[:, COLUMN[name]]

    def signed(self, name: str) -> NDArray[np.float64]:
        """Numbers in [-1, 1), shape (N,)."""
        return 2 * self[name] - 1

    def chosen(self, name: str, share: float) -> NDArray[np.int64]:
        """Rows of the images that are selected when a `share` of all images is selected at random."""
        return np.flatnonzero(self[name] < share)

    def at(self, rows: NDArray[np.int64]) -> Draws:
        """The numbers of some of the images."""
        return Draws(self.values[rows])


def uniform(seed: int, epoch: int, indices: NDArray[np.int64], columns: Sequence[int]) -> NDArray[np.float64]:
    """Numbers in [0, 1), shape (len(indices), len(columns)), each a hash of (seed, epoch, index, column).

    The mixing is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), applied once per part of the key.
    """
    with np.errstate(over="ignore"):
        key = _mix(_mix(np.uint64(seed)) ^ np.uint64(epoch))
        keys = _mix(_mix(key ^ indices.astype(np.uint64))[:, None] ^ np.array(columns, dtype=np.uint64))
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(value: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    mixed = np.asarray(value, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
