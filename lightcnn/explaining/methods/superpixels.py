"""Superpixels: connected regions of similar colour, which LIME hides and shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS_PER_SUPERPIXEL = 16 * 16
"""Approximate area of a superpixel: 64 of them at 128 × 128 pixels."""
MIN_SUPERPIXELS, MAX_SUPERPIXELS = 16, 100
"""Fewer locate little; with more, 1,000 samples say too little about each."""
MAX_COMPACTNESS = 1000
"""With this compactness colour has practically no influence."""


def superpixels(pixels: NDArray[Any], count: int | None = None) -> NDArray[np.int64]:
    """SLIC superpixels (Achanta et al., TPAMI 2012) of an image (H, W, C) on any scale: (H, W), numbered from 0.

    By default there is about one per 16 × 16 pixels, between 16 and 100, and at most one per pixel. SLIC approximates
    `count`, and every superpixel is connected.
    """
    height, width, _ = pixels.shape
    default = min(max(round(height * width / PIXELS_PER_SUPERPIXEL), MIN_SUPERPIXELS), MAX_SUPERPIXELS)
    target = min(count or default, height * width)
    values, compactness = pixels.astype(np.float64), 10
    segments = _slic(values, target, compactness)
    # SLIC merges the specks that noise causes into neighbouring regions, even all into one.
    while 2 * (segments.max() + 1) < target and compactness < MAX_COMPACTNESS:
        compactness *= 10
        segments = _slic(values, target, compactness)
    return segments


def _slic(values: NDArray[np.float64], count: int, compactness: int) -> NDArray[np.int64]:
    from skimage.segmentation import slic

    segments = slic(
        values,
        n_segments=count,
        # SLIC compares three channels as L*a*b*, which reaches 100; any other number of channels is scaled to 1.
        compactness=compactness if values.shape[2] == 3 else compactness / 100,
        start_label=0,
        channel_axis=-1,
    )
    numbers: NDArray[np.int64] = np.unique(segments, return_inverse=True)[1].reshape(segments.shape).astype(np.int64)
    return numbers
