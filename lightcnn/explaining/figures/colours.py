"""Maps as colours: what scale they are shown on, and how they are laid over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

RECTIFIED = ("gradcam", "gradcam++", "layercam")
"""Methods of whose maps only what speaks for the class is shown; those of others are shown with both signs."""
SPREAD = 0.995
"""Share of the pixels of a signed map that its scale holds: single pixels of a gradient stand out from all others."""
STRONGEST = 0.85
"""Share of the colour in an overlay where a map is at the end of its scale."""
INK = 0.9
"""Place in the scale whose colour a signed map has in an overlay: those in its middle are white, a fog on a picture."""
OUTLINED, WORTH = 5, 0.1
"""Superpixels that are outlined, at most, as the paper of LIME draws them; of the strongest weight, what each needs."""
YELLOW = (255, 221, 0)
ROWS = 256
"""Of a picture that are coloured at once: a photograph in floats would fill the memory."""
Pixels = NDArray[np.uint8]
Map = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` and their colours: from 0 up, or the same to both sides of 0."""

    low: float
    high: float

    @classmethod
    def of(cls, method: str, maps: Sequence[Map]) -> Scale:
        """One for all maps of a method that are compared."""
        values = np.concatenate([found[np.isfinite(found)] for found in maps])
        if method in RECTIFIED:
            return cls(0.0, max(float(values.max(initial=0)), 1e-12))
        reach = float(np.quantile(np.abs(values), SPREAD)) if len(values) else 0.0
        reach = max(reach or float(np.abs(values).max(initial=0)), 1e-12)
        return cls(-reach, reach)

    @property
    def signed(self) -> bool:
        """Whether values below 0 have colours of their own."""
        return self.low < 0

    @property
    def colours(self) -> str:
        """Name of matplotlib's colour map: perceptually uniform, or purple and green, which skin is not."""
        return "PRGn" if self.signed else "inferno"

    def inked(self, values: Map) -> Pixels:
        """Colours (..., 3) of values over a picture."""
        return self.coloured(np.sign(values) * (2 * INK - 1) * self.high if self.signed else values)

    def coloured(self, values: Map) -> Pixels:
        """Colours (..., 3) of values; nan is the lowest one's."""
        table = np.rint(255 * mpl.colormaps[self.colours](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
        share = (np.nan_to_num(values, nan=self.low) - self.low) / (self.high - self.low)
        return np.asarray(table[np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)])

    def strength(self, values: Map) -> Map:
        """From 0 at nothing to 1 at the end of the scale; 0 for nan."""
        return np.clip(np.nan_to_num(np.abs(values) if self.signed else values) / self.high, 0, 1)


def overlay(picture: Pixels, values: Map, scale: Scale) -> Pixels:
    """A picture (H, W, 1 or 3) under a map (H, W): the stronger, the more colour; what was not seen (nan) is faded."""
    out = np.empty((*picture.shape[:2], 3), dtype=np.uint8)
    for start in range(0, len(picture), ROWS):
        rows = slice(start, start + ROWS)
        below = np.broadcast_to(picture[rows], out[rows].shape).astype(np.float32)
        held = values[rows]
        share = STRONGEST * scale.strength(held)[..., None].astype(np.float32)
        mixed = below * (1 - share) + scale.inked(held) * share
        faded = 0.35 * below.mean(axis=2, keepdims=True) + 0.65 * 255
        out[rows] = np.rint(np.where(np.isnan(held)[..., None], faded, mixed)).astype(np.uint8)
    return out


def outlined(picture: Pixels, regions: NDArray[np.int64], chosen: Sequence[int]) -> Pixels:
    """A picture (H, W, 3) with a line round each of the chosen regions of (H, W)."""
    kept = np.where(np.isin(regions, chosen), regions + 1, 0).astype(np.int32)
    line: NDArray[np.bool_] = find_boundaries(kept, mode="inner")  # type: ignore[no-untyped-call]
    for _ in range(max(picture.shape) // 300):
        line[1:] |= line[:-1]
        line[:, 1:] |= line[:, :-1]
    out = picture.copy()
    out[line] = YELLOW
    return out


def strongest(values: Map, regions: NDArray[np.int64]) -> list[int]:
    """The regions of (H, W) that are outlined, the first the one whose value speaks most for the class."""
    first = np.unique(regions, return_index=True)
    weights = dict(zip(first[0].tolist(), values.ravel()[first[1]].tolist(), strict=True))
    bound = WORTH * max(0.0, *weights.values(), 0.0)
    return [region for region in sorted(weights, key=lambda one: -weights[one]) if weights[region] > bound][:OUTLINED]
