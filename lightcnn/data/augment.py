"""Changes to training images, drawn for each image by itself and applied to a whole batch at once.

What an image gets depends on (seed, epoch, index of the image) and on nothing else: not on its place in a batch, the
size of the batch, the worker or the hour.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn.recipe import Augment


def augment(images: Tensor, settings: Augment, seed: int, epoch: int, indices: NDArray[np.int64]) -> Tensor:
    """Float images (N, C, H, W), each under its own shift, rotation, zoom, shear and flip, mirrored at the border.

    Normalised images are meant: there zero is the mean.
    """
    if settings == Augment(shift=0, rotate=0, zoom=0, shear=0, flip=False):
        return images
    draws = uniform(seed, epoch, indices, 7)
    # Between pixels there is only interpolation, which blurs, and a network that never meets sharp images is worse on
    # them: so shifts are whole pixels, and every second image is neither rotated nor sheared nor zoomed.
    warped = draws[:, 6] < 0.5
    angle, shear = (
        warped * math.radians(limit) * (2 * draws[:, i] - 1) for i, limit in ((0, settings.rotate), (1, settings.shear))
    )
    scale = 1 + warped * settings.zoom * (2 * draws[:, 2] - 1)
    mirror = np.where(draws[:, 3] < 0.5, -1.0, 1.0) if settings.flip else 1.0
    matrix = np.empty((len(indices), 2, 3), dtype=np.float32)
    matrix[:, 0, 0] = scale * np.cos(angle) * mirror
    matrix[:, 0, 1] = -scale * np.sin(angle + shear)
    matrix[:, 1, 0] = scale * np.sin(angle) * mirror
    matrix[:, 1, 1] = scale * np.cos(angle + shear)
    for axis, pixels in ((0, images.shape[3]), (1, images.shape[2])):
        # Coordinates run from -1 to 1: one pixel is 2 / pixels of them.
        matrix[:, axis, 2] = np.rint(settings.shift * pixels * (2 * draws[:, 4 + axis] - 1)) * 2 / pixels
    grid = functional.affine_grid(torch.from_numpy(matrix).to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def uniform(seed: int, epoch: int, indices: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), shape (len(indices), count), each a hash of (seed, epoch, index, column).

    The mixing is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), applied once for each part of the key.
    """
    columns = np.arange(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        key = _mix(_mix(np.uint64(seed)) ^ np.uint64(epoch))
        keys = _mix(_mix(key ^ indices.astype(np.uint64))[:, None] ^ columns)
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(value: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    mixed = np.asarray(value, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
