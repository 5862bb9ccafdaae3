"""Superpixels: the connected patches of like colour that LIME hides and shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AREA = 16 * 16
"""Pixels of a superpixel, about: 64 of them at 128 × 128."""
FEWEST, MOST = 16, 100
"""Superpixels: fewer say little of where; of more, 1,000 samples say too little of each."""
GRID = 1000
"""A compactness under which colour counts for nothing."""


def superpixels(pixels: NDArray[Any], count: int | None = None) -> NDArray[np.int64]:
    """SLIC's patches (Achanta et al., TPAMI 2012) of an image (H, W, C) on any scale: (H, W), numbered from 0.

    Without a count about one for 16 × 16 pixels, from 16 to 100 of them; an image has no more than pixels. SLIC keeps
    about to the count, and leaves no patch in two pieces.
    """
    height, width, _ = pixels.shape
    wanted = min(count or min(max(round(height * width / AREA), FEWEST), MOST), height * width)
    values, compactness = pixels.astype(np.float64), 10
    found = _slic(values, wanted, compactness)
    # Noise falls into specks, and SLIC merges these into whatever is beside them, even all into one.
    while 2 * (found.max() + 1) < wanted and compactness < GRID:
        compactness *= 10
        found = _slic(values, wanted, compactness)
    return found


def _slic(values: NDArray[np.float64], count: int, compactness: int) -> NDArray[np.int64]:
    from skimage.segmentation import slic

    found = slic(
        values,
        n_segments=count,
        # Of three channels SLIC compares L*a*b*, which reaches to 100, of any others the values, which it scales to 1.
        compactness=compactness if values.shape[2] == 3 else compactness / 100,
        start_label=0,
        channel_axis=-1,
    )
    numbers: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int64)
    return numbers
