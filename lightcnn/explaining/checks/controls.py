"""Control maps that ignore the network: a faithful map must beat them on the same image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lightcnn.explaining.explained import Explained, Inputs

CENTRE_SIGMA = 1 / 4
"""Standard deviation of the Gaussian in the middle, as a share of height and width."""
EDGE_BLUR = 1 / 64
"""Standard deviation of the blur of the edges, as a share of the smaller of height and width."""
Map = NDArray[np.float64]


def random(height: int, width: int, seed: int, number: int) -> Map:
    """Uncorrelated noise (H, W), different for every `number`."""
    return np.random.default_rng([seed, 13, number]).random((height, width))


def centre(height: int, width: int) -> Map:
    """A Gaussian (H, W) around the middle, where photographers place their subject."""
    down, right = (((np.arange(length) + 0.5) / length - 0.5) / CENTRE_SIGMA for length in (height, width))
    return np.exp(-(down[:, None] ** 2 + right[None, :] ** 2) / 2)


def edges(explained: Explained, inputs: Inputs) -> Map:
    """Slightly blurred Sobel magnitude (H, W) of an image (1, C, H, W) in grey: what is merely conspicuous."""
    grey = explained.pixels_of(inputs).mean(axis=0)
    strength = np.hypot(ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1))
    return np.asarray(ndimage.gaussian_filter(strength, EDGE_BLUR * min(grey.shape)))
