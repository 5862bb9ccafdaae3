"""Where the pixels of a network's input lie in the original image: from the image to the input, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.preparation.steps import to_square
from lightcnn.data.preprocess import Preprocess

BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Frame:
    """How an image of `height` × `width` pixels was brought to the size of the input: stretched, cropped or padded.

    The sizes are those of the decoded image before preprocessing. The frame also applies to the same image in another
    resolution. `across` is the width of the input, if it is not `size` as the height; such images are stretched.
    """

    height: int
    width: int
    size: int
    fit: str = "stretch"
    across: int = 0

    @classmethod
    def of(cls, shape: tuple[int, ...], preprocess: Preprocess) -> Frame:
        """The frame of a decoded image (H, W, ...) under a preprocessing."""
        return cls(shape[0], shape[1], preprocess.size, preprocess.fit)

    @property
    def shorter_side(self) -> int:
        """The shorter side of the decoded image in pixels."""
        return min(self.height, self.width)

    def onto(self, values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """A map (size, size) on the whole image of height × width, bilinear; nan where the network saw nothing."""
        rows, columns = self._positions(height, width)
        return _interpolate(_interpolate(values, rows).T, columns).T

    def nearest(self, numbers: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
        """Numbers of regions (size, size) on the whole image, nearest neighbour; -1 where the network saw nothing."""
        rows, columns = self._positions(height, width)
        seen = ~np.isnan(rows)[:, None] & ~np.isnan(columns)[None, :]
        indices = [
            np.clip(np.rint(np.nan_to_num(positions)), 0, size - 1).astype(int)
            for positions, size in ((rows, self.size), (columns, self.across or self.size))
        ]
        return np.where(seen, numbers[np.ix_(*indices)], -1)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (H, W) of the image, in any resolution, at the size of the input: (size, size).

        A pixel is inside if the mask covers at least half of it. If the mask covers half of no pixel, those that it
        covers most are inside.
        """
        cover = Image.fromarray(mask.astype(np.float32)).resize((self.width, self.height), BILINEAR)
        square = Image.fromarray(to_square(np.asarray(cover)[..., None], self.fit)[..., 0])
        share = np.asarray(square.resize((self.across or self.size, self.size), BILINEAR))
        return (share > 0) & (share >= min(0.5, float(share.max())))

    def _positions(self, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The position in the input of each row and each column of the image; 0 is the centre of the first pixel.

        nan outside of what the network sees.
        """
        axes = []
        for length, pixels, other_length, size in (
            (self.height, height, self.width, self.size), (self.width, width, self.height, self.across or self.size)
        ):  # fmt: skip
            extent, start = self._window(length, other_length)
            positions = ((np.arange(pixels) + 0.5) * length / pixels - start) / extent
            positions[(positions < 0) | (positions > 1)] = np.nan
            axes.append(positions * size - 0.5)
        return axes[0], axes[1]

    def _window(self, length: int, other_length: int) -> tuple[int, int]:
        """How many pixels the network sees in one direction, and the first of them; negative in padding."""
        if self.fit == "stretch":
            return length, 0
        extent = min(length, other_length) if self.fit == "crop" else max(length, other_length)
        return extent, (length - extent) // 2 if length >= extent else -((extent - length) // 2)


def _interpolate(values: NDArray[np.float32], positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values (rows, columns) interpolated at row `positions` (n,): (n, columns), nan where a position is nan."""
    clipped = np.clip(positions, 0, len(values) - 1)
    low = np.nan_to_num(clipped).astype(int)
    share = (clipped - low)[:, None].astype(np.float32)
    return np.asarray(values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share)
