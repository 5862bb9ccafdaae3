"""Changes to training images, drawn for each image by itself and applied to a whole batch at once.

What an image gets depends on (seed, epoch, index of the image) and on nothing else: not on its place in a batch, the
size of the batch, the worker or the hour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.augmentation.filters import change
from lightcnn.data.augmentation.geometry import place
from lightcnn.data.randomness import Draws
from lightcnn.recipe import Augment


def augment(images: Tensor, settings: Augment, seed: int, epoch: int, indices: NDArray[np.int64]) -> Tensor:
    """Images (N, C, H, W) on the scale 0..255, uint8 or float32 → new float32 images on that scale, each changed.

    First where the pixels are, then what they are; mixing of images is `lightcnn.data.augmentation.batch`'s.
    """
    draws = Draws.of(seed, epoch, indices)
    return change(place(images, settings, draws), settings, draws)
