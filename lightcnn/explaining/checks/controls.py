"""Maps that know nothing of the network: what a faithful one has to beat on the same image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from lightcnn.explaining.explained_network import ExplainedNetwork

WIDTH = 1 / 4
"""Standard deviation of the Gaussian in the middle, in sides."""
SMOOTH = 1 / 64
"""Standard deviation of the blur over edges, in shorter sides."""
Map = NDArray[np.float64]


def random(height: int, width: int, seed: int, number: int) -> Map:
    """Noise without neighbours (H, W), another for every number."""
    return np.random.default_rng([seed, 13, number]).random((height, width))


def centre(height: int, width: int) -> Map:
    """A Gaussian (H, W) around the middle: photographers put there what matters."""
    down, right = (((np.arange(side) + 0.5) / side - 0.5) / WIDTH for side in (height, width))
    return np.exp(-(down[:, None] ** 2 + right[None, :] ** 2) / 2)


def edges(explained: ExplainedNetwork, inputs: Tensor) -> Map:
    """Sobel's magnitude (H, W) of an image (1, C, H, W) made grey, slightly blurred: what is merely conspicuous."""
    grey = explained.pixels(inputs)[0].double().mean(dim=0).cpu().numpy()
    strength = np.hypot(ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1))
    return np.asarray(ndimage.gaussian_filter(strength, SMOOTH * min(grey.shape)))
