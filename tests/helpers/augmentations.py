"""Images and settings for tests of augmentation."""

from __future__ import annotations

import numpy as np
import torch

from lightcnn.data.augmentation.augment import augment
from lightcnn.recipe import PRESETS, Augment

NONE = PRESETS["none"]

ALL = {
    "shift": 0.2, "shift_height": 0.1, "flip": True, "flip_vertical": True, "rotate": 20.0, "zoom": 0.2, "shear": 10.0,
    "crop": 0.3, "sharpen": 0.5, "blur": 1.2, "brightness": 0.3, "contrast": 0.3, "saturation": 0.5, "noise": 0.1,
    "erase": 0.3,
}  # fmt: skip

MIXES = {"mixup": 0.4, "cutmix": 1.0}

MANY = np.arange(3000)


def settings(**changes):
    """Only `changes`, applied to every image."""
    return Augment(**(dict(NONE) | {"warped": 1.0, "filtered": 1.0} | changes))


def random_images(count, channels=3, size=16, seed=0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (count, channels, size, size), dtype=np.uint8))


def augmented(image, indices=MANY, seed=0, epoch=0, **changes):
    """One image (C, H, W), augmented once per index."""
    copies = image[None].expand(len(indices), *image.shape)
    return augment(copies, settings(**changes), seed, epoch, indices)


def assert_reaches(values, low, high, share=0.02):
    """All values within [low, high], and some within `share` of both ends."""
    tolerance = share * (high - low)
    assert low - 1e-3 * (high - low) <= values.min() <= low + tolerance, (values.min(), low)
    assert high - tolerance <= values.max() <= high + 1e-3 * (high - low), (values.max(), high)
