"""Small data sets with random pixels, as .npz files and class folders."""

from __future__ import annotations

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)


def arrays(count=60, classes=3, shape=(8, 8), **changes):
    labels = np.arange(count) % classes
    images = RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)
    return {"train_images": images, "train_labels": labels, **changes}


def npz(folder, **content):
    np.savez(folder / "set.npz", **content)
    return str(folder / "set.npz")


def photos(folder, names, size=(12, 10), mode="RGB", suffix="png"):
    for name in names:
        file = folder / f"{name}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        channels = {"RGB": 3, "L": 1}[mode]
        pixels = RANDOM.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8).squeeze()
        Image.fromarray(pixels, mode=None).save(file)
    return str(folder)
