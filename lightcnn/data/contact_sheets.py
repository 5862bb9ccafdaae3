"""Contact sheets: many images in one, or examples of what an augmentation does to some of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.augmentation.batch import training_images
from lightcnn.data.tensors import resize
from lightcnn.recipe import Augment

TILE_PIXELS = 96
"""Default side of a tile, in pixels."""
GAP = 2
"""White pixels between tiles."""
EPOCHS = 7
"""Augmented versions in a row of `augment_sheet`."""


def augment_sheet(
    images: Sequence[NDArray[np.uint8]], settings: Augment, seed: int, size: int = TILE_PIXELS
) -> NDArray[np.uint8]:
    """A contact sheet (H, W, 3) with one row per image: the image, then its augmented versions in epochs 0 to 6.

    `images` are (H, W, C) with the same C; they are first resized to `size`, the network's input size.
    """
    originals = resize(list(images), size)
    indices = np.arange(len(images))
    columns = [originals.float()]
    for epoch in range(EPOCHS):
        columns.append(training_images(originals, indices, settings=settings, seed=seed, epoch=epoch)[0])
    pixels = [column.round().byte().movedim(1, 3).numpy() for column in columns]
    return tile([column[row] for row in indices for column in pixels], len(columns), TILE_PIXELS)


def tile(images: Sequence[NDArray[np.uint8]], columns: int, size: int = TILE_PIXELS) -> NDArray[np.uint8]:
    """A contact sheet (H, W, 3) of images (H, W, 1 or 3) of any sizes, in rows of `columns` squares on white.

    Each image is scaled to fit its square of `size` pixels and centred; enlarged images show their pixels as blocks.
    """
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size + GAP) - GAP, columns * (size + GAP) - GAP, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        small = _fitted(image, size)
        top = number // columns * (size + GAP) + (size - small.shape[0]) // 2
        left = number % columns * (size + GAP) + (size - small.shape[1]) // 2
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def png(image: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def thumbnail(image: NDArray[np.uint8], side: int) -> bytes:
    """An image (H, W, 1 or 3) as a JPEG file of `side` × `side` pixels."""
    stream = io.BytesIO()
    Image.fromarray(tile([image], 1, side)).save(stream, format="JPEG", quality=85)
    return stream.getvalue()


def _fitted(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(H, W, 1 or 3) → (h, w, 3), the longer side `size`."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.broadcast_to(image, (height, width, 3)).copy()).resize(shape, kind))
