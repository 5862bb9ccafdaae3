"""Blurred images: a baseline of Integrated Gradients, and the start of insertion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def blurred(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Images (N, C, H, W) blurred by a Gaussian with standard deviation `sigma` in pixels."""
    return np.asarray(ndimage.gaussian_filter(values, (0, 0, sigma, sigma), mode="nearest"))
