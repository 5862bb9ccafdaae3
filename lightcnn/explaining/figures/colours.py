"""Maps as colours: their scale, and how they are overlaid on an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from lightcnn.explaining.methods.catalogue import is_rectified
from lightcnn.output.charts.plotting import mpl

SCALE_QUANTILE = 0.995
"""Share of the pixels of a signed map that its scale covers: single pixels of a gradient exceed all others."""
MAX_OPACITY = 0.85
"""Opacity of an overlay where a map is at the end of its scale."""
OVERLAY_COLOUR = 0.9
"""Position in the scale whose colour a signed map has in an overlay; colours near the middle are white, like fog."""
MAX_OUTLINES, MIN_OUTLINE_SHARE = 5, 0.1
"""Maximum number of outlined superpixels, as in the paper of LIME; minimum weight as a share of the largest."""
YELLOW, MASK_BLUE = (255, 221, 0), (0, 114, 178)
"""Colours of the outlines of superpixels and of a ground-truth mask."""
FADED = 0.65
"""Opacity of the white over pixels that the network did not see."""
ROWS_AT_ONCE = 256
"""Rows of an image that are coloured at once: a whole photograph in floats would fill the memory."""
Pixels = NDArray[np.uint8]
Map = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scale:
    """The values from `low` to `high` and their colours: from 0 up, or symmetric around 0."""

    low: float
    high: float

    @classmethod
    def of(cls, method: str, maps: Sequence[Map]) -> Scale:
        """One scale for all maps of a method that are compared."""
        values = np.concatenate([values[np.isfinite(values)] for values in maps])
        if is_rectified(method):
            return cls(0.0, max(float(values.max(initial=0)), 1e-12))
        reach = float(np.quantile(np.abs(values), SCALE_QUANTILE)) if len(values) else 0.0
        reach = max(reach or float(np.abs(values).max(initial=0)), 1e-12)
        return cls(-reach, reach)

    @property
    def signed(self) -> bool:
        """Whether values below 0 have their own colours."""
        return self.low < 0

    @property
    def colours(self) -> str:
        """The name of matplotlib's colour map: perceptually uniform, or purple and green, which skin does not have."""
        return "PRGn" if self.signed else "inferno"

    def overlay_colours(self, values: Map) -> Pixels:
        """Colours (..., 3) of values in an overlay."""
        return self.coloured(np.sign(values) * (2 * OVERLAY_COLOUR - 1) * self.high if self.signed else values)

    def coloured(self, values: Map) -> Pixels:
        """Colours (..., 3) of values; nan has the colour of the lowest value."""
        table = np.rint(255 * mpl.colormaps[self.colours](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
        share = (np.nan_to_num(values, nan=self.low) - self.low) / (self.high - self.low)
        return np.asarray(table[np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)])

    def strength(self, values: Map) -> Map:
        """From 0 for a value of 0 to 1 at the end of the scale; 0 for nan."""
        return np.clip(np.nan_to_num(np.abs(values) if self.signed else values) / self.high, 0, 1)


def overlay(image: Pixels, values: Map, scale: Scale) -> Pixels:
    """A map (H, W) over an image (H, W, 1 or 3): opacity grows with the value; pixels not seen (nan) are faded."""
    out = np.empty((*image.shape[:2], 3), dtype=np.uint8)
    for start in range(0, len(image), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        below = np.broadcast_to(image[rows], out[rows].shape).astype(np.float32)
        part = values[rows]
        share = MAX_OPACITY * scale.strength(part)[..., None].astype(np.float32)
        mixed = below * (1 - share) + scale.overlay_colours(part) * share
        faded = (1 - FADED) * below.mean(axis=2, keepdims=True) + FADED * 255
        out[rows] = np.rint(np.where(np.isnan(part)[..., None], faded, mixed)).astype(np.uint8)
    return out


def layer_pixels(values: Map, scale: Scale) -> Pixels:
    """A map (H, W) as a layer (H, W, 4) above an image, which then looks like `overlay`; unseen pixels are white."""
    unseen = np.isnan(values)
    alpha = np.where(unseen, FADED, MAX_OPACITY * scale.strength(values))
    colours = np.where(unseen[..., None], 255, scale.overlay_colours(np.nan_to_num(values)))
    return np.concatenate([colours, np.rint(255 * alpha)[..., None]], axis=2).astype(np.uint8)


def outline_regions(image: Pixels, regions: NDArray[np.int64], chosen: Sequence[int]) -> Pixels:
    """An image (H, W, 3) with a line around each of the chosen regions of (H, W)."""
    return outline(image, np.where(np.isin(regions, chosen), regions + 1, 0))


def outline(image: Pixels, regions: NDArray[np.integer[Any]], colour: tuple[int, int, int] = YELLOW) -> Pixels:
    """An image (H, W, 3 or 4) with an opaque line around each region of (H, W) whose number is not 0."""
    line: NDArray[np.bool_] = find_boundaries(regions.astype(np.int32), mode="inner")  # type: ignore[no-untyped-call]
    for _ in range(max(image.shape) // 300):
        line[1:] |= line[:-1]
        line[:, 1:] |= line[:, :-1]
    out = image.copy()
    out[line] = (*colour, 255)[: image.shape[2]]
    return out


def strongest_regions(values: Map, regions: NDArray[np.int64]) -> list[int]:
    """The regions of (H, W) to outline: those that support the class most, the largest value first."""
    first = np.unique(regions, return_index=True)
    weights = dict(zip(first[0].tolist(), values.ravel()[first[1]].tolist(), strict=True))
    bound = MIN_OUTLINE_SHARE * max(0.0, *weights.values(), 0.0)
    ordered = sorted(weights, key=lambda region: -weights[region])
    return [region for region in ordered if weights[region] > bound][:MAX_OUTLINES]
