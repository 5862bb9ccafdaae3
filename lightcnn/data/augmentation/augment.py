"""Random changes to training images, drawn per image and applied to a whole batch at once.

The changes depend on (seed, epoch, image index) and on nothing else: not on the position in the batch, the size of the
batch, the worker or the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.augmentation.filters import filter_images
from lightcnn.data.augmentation.geometry import transform
from lightcnn.data.randomness import Draws
from lightcnn.recipe import Augment


def augment(images: Tensor, settings: Augment, seed: int, epoch: int, indices: NDArray[np.int64]) -> Tensor:
    """Images (N, C, H, W) on the scale 0..255, uint8 or float32 → new float32 images on that scale, each changed.

    Geometry comes first, then filters; images are mixed in `lightcnn.data.augmentation.batch`.
    """
    draws = Draws.of(seed, epoch, indices)
    return filter_images(transform(images, settings, draws), settings, draws)
