"""Where the pixels of a network's input lie in the picture that they were made of, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.preprocess import Preprocess, squared

BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Frame:
    """How a picture of `height` × `width` pixels was brought to size × size: stretched, cropped or padded.

    The sizes are those of the decoded picture that was prepared; the same picture in more pixels is framed alike.
    """

    height: int
    width: int
    size: int
    fit: str = "stretch"

    @classmethod
    def of(cls, shape: tuple[int, ...], rule: Preprocess) -> Frame:
        """Of a decoded picture (H, W, ...) and the rule that prepares it."""
        return cls(shape[0], shape[1], rule.size, rule.fit)

    def onto(self, values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """A map (size, size) on the whole picture in height × width pixels, bilinear: nan where it was not seen."""
        rows, columns = self._places(height, width)
        return _blended(_blended(values, rows).T, columns).T

    def nearest(self, numbers: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
        """The same for numbers of regions (size, size), the nearest one's: -1 where nothing was seen."""
        rows, columns = self._places(height, width)
        seen = ~np.isnan(rows)[:, None] & ~np.isnan(columns)[None, :]
        at = [np.clip(np.rint(np.nan_to_num(places)), 0, self.size - 1).astype(int) for places in (rows, columns)]
        return np.where(seen, numbers[np.ix_(*at)], -1)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (H, W) of the picture, in any number of pixels, at the input: (size, size).

        Inside is what it covers to a half; where it is so small that it covers half of nothing, what it covers most.
        """
        cover = Image.fromarray(mask.astype(np.float32)).resize((self.width, self.height), BILINEAR)
        square = Image.fromarray(squared(np.asarray(cover)[..., None], self.fit)[..., 0])
        share = np.asarray(square.resize((self.size, self.size), BILINEAR))
        return (share > 0) & (share >= min(0.5, float(share.max())))

    def _places(self, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """For each row and each column of the picture its place in the input, from 0 at the centre of the first pixel.

        nan outside of what the network sees.
        """
        found = []
        for own, pixels, other in ((self.height, height, self.width), (self.width, width, self.height)):
            side, start = self._window(own, other)
            places = ((np.arange(pixels) + 0.5) * own / pixels - start) / side
            places[(places < 0) | (places > 1)] = np.nan
            found.append(places * self.size - 0.5)
        return found[0], found[1]

    def _window(self, own: int, other: int) -> tuple[int, int]:
        """Of one direction: how many pixels the network sees, and the first of them; below 0 in a bar."""
        if self.fit == "stretch":
            return own, 0
        side = min(own, other) if self.fit == "crop" else max(own, other)
        return side, (own - side) // 2 if own >= side else -((side - own) // 2)


def _blended(values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at `places` (n,) between those of (rows, columns): (n, columns), nan where a place is."""
    at = np.clip(places, 0, len(values) - 1)
    low = np.nan_to_num(at).astype(int)
    share = (at - low)[:, None].astype(np.float32)
    return np.asarray(values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share)
