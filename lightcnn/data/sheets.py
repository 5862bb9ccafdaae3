"""Contact sheets. A stand-in with the interface of the module that is being written beside this one."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.augment import augment
from lightcnn.data.preprocess import resize
from lightcnn.recipe import Augment

PRESETS = {"none": Augment(shift=0, rotate=0, zoom=0, shear=0), "light": Augment(flip=True)}
TILE, GAP, EPOCHS = 96, 2, 7


def augment_sheet(
    images: Sequence[NDArray[np.uint8]], settings: Augment, seed: int, size: int = TILE
) -> NDArray[np.uint8]:
    """A row an image: as it is, then as training meets it in the epochs 0 to 6, in one picture (H, W, 3)."""
    originals = resize(list(images), size).float()
    indices = np.arange(len(images))
    columns = [originals, *(augment(originals, settings, seed, epoch, indices) for epoch in range(EPOCHS))]
    shown = [column.round().clamp(0, 255).byte().movedim(1, 3).numpy() for column in columns]
    return tile([column[row] for row in indices for column in shown], len(columns), TILE)


def tile(images: Sequence[NDArray[np.uint8]], columns: int, size: int = TILE) -> NDArray[np.uint8]:
    """Images (H, W, 1 or 3) of any sizes in rows of `columns` squares, white between them and where none is left."""
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size + GAP) - GAP, columns * (size + GAP) - GAP, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        small = _fitted(image, size)
        top = number // columns * (size + GAP) + (size - small.shape[0]) // 2
        left = number % columns * (size + GAP) + (size - small.shape[1]) // 2
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _fitted(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.broadcast_to(image, (height, width, 3)).copy()).resize(shape, kind))
