"""An image to explain: as the network reads it, as people see it, and with its ground-truth mask."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.conversion import Conversion
from lightcnn.data.files.decode import ImageSource, decode, decode_whole, reduce_pixels
from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.image_files import ImageFiles
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import DataError
from lightcnn.explaining.images.masks import MaskFolder
from lightcnn.explaining.images.projection import Frame

WholeImage = tuple[NDArray[np.uint8], tuple[int, int]]
"""Pixels uint8 (H, W, 1 or 3), and the height and width of the original, which may be larger."""
MASK_OUTSIDE = "the mask covers no part of the image that the network sees"


@dataclass(frozen=True, eq=False)
class ImageReading:
    """How images become inputs of a network.

    `size` is the height and the width of the input, and `fit` how an image is brought to it. `scale` is that of files
    with more than 8 bits. `seen` makes of a decoded image (H, W, 1 or 3) the pixels of the input, uint8 (H, W, C).
    """

    size: tuple[int, int]
    fit: str
    scale: IntensityScale | None
    seen: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

    @classmethod
    def of(cls, preprocess: Preprocess) -> ImageReading:
        """That of a run, which needs torch."""
        from lightcnn.data.tensors import network_pixels

        def seen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
            pixels: NDArray[np.uint8] = network_pixels(image, preprocess).movedim(0, 2).numpy()
            return pixels

        return cls((preprocess.size, preprocess.size), preprocess.fit, preprocess.scale, seen)

    def frame(self, shape: tuple[int, ...]) -> Frame:
        """Where the input lies in a decoded image (H, W, ...)."""
        return Frame(shape[0], shape[1], self.size[0], self.fit, self.size[1])


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """An image to explain.

    `seen` uint8 (H, W, C) are the pixels at the size of the network's input, before normalisation; `whole()` returns
    the image as people see it, and `frame` describes where the pixels lie in it. `channels` are those of the decoded
    image. `label` and `group` are None if unknown. `mask` (H, W) is the ground truth. `conversion` is what was done to
    the values of a file; None for those of a data set.
    """

    name: str
    seen: NDArray[np.uint8]
    frame: Frame
    channels: int
    whole: Callable[[], WholeImage]
    label: str | None = None
    group: str | None = None
    mask: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    conversion: Conversion | None = None


def from_file(path: Path, reading: ImageReading, masks: MaskFolder | NDArray[np.bool_] | None = None) -> ExplainedImage:
    """The image in a file, with its mask from a folder or an array. Raises: DataError if one of them is unusable."""
    if path.exists() and not path.is_file():
        raise DataError("is not a file")
    return from_source(str(path), path, reading, masks)


def from_source(
    name: str, path: ImageSource, reading: ImageReading, masks: MaskFolder | NDArray[np.bool_] | None = None
) -> ExplainedImage:
    """The same for a file that may be in memory only; it is read again when the image is shown. Raises: DataError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF and huge images; what matters is an error here
        decoded = decode(path, reading.scale)
        mask = _mask_of_file(name, path, masks)
    frame = reading.frame(decoded.pixels.shape)
    input_mask, notes = _at_input(mask, frame)
    return ExplainedImage(
        name, reading.seen(decoded.pixels), frame, decoded.pixels.shape[2], lambda: decode_whole(path, reading.scale),
        mask=input_mask, notes=notes, conversion=decoded.conversion,
    )  # fmt: skip


def _mask_of_file(
    name: str, path: ImageSource, masks: MaskFolder | NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    if masks is None:
        return None
    height, width = decode_whole(path)[1]
    if isinstance(masks, MaskFolder):
        return masks.read(name, (height, width))
    if masks.shape != (height, width):
        raise DataError(f"is {width}×{height} pixels upright, but its mask has the shape {masks.shape}")
    return masks


def from_array(
    name: str, pixels: NDArray[np.uint8], reading: ImageReading, mask: NDArray[np.bool_] | None = None
) -> ExplainedImage:
    """An array (H, W, 1 or 3), treated like a file with these pixels. Raises: DataError if the mask does not fit."""
    size = pixels.shape[0], pixels.shape[1]
    if mask is not None and mask.shape != size:
        raise DataError(f"is {size[1]}×{size[0]} pixels, but its mask has the shape {mask.shape}")
    smaller = reduce_pixels(pixels)
    frame = reading.frame(smaller.shape)
    input_mask, notes = _at_input(mask, frame)
    return ExplainedImage(
        name, reading.seen(smaller), frame, pixels.shape[2], lambda: (pixels, size), mask=input_mask, notes=notes
    )


def from_dataset(
    dataset: Dataset, index: int, reading: ImageReading, masks: MaskFolder | None = None
) -> ExplainedImage:
    """An image of a data set, prepared as in training. `masks` replace those of the data set. Raises: DataError."""
    pixels, name = dataset.images[index], dataset.paths[index]
    files = dataset.images.files if isinstance(dataset.images, ImageFiles) else None

    def whole() -> WholeImage:
        return decode_whole(files[index], reading.scale) if files else (pixels, (pixels.shape[0], pixels.shape[1]))

    if masks is not None:
        mask = masks.read(name, whole()[1])
    else:
        mask = None if dataset.masks is None else dataset.masks[index]
    frame = reading.frame(pixels.shape)
    input_mask, notes = _at_input(mask, frame)
    return ExplainedImage(
        name,
        reading.seen(pixels),
        frame,
        pixels.shape[2],
        whole,
        label=dataset.classes[dataset.labels[index]],
        group=str(dataset.groups[index]) if dataset.groups_known else None,
        mask=input_mask,
        notes=notes,
    )


def _at_input(mask: NDArray[np.bool_] | None, frame: Frame) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """A mask of the whole image at the size of the network's input, (S, S), and notes on it."""
    if mask is None:
        return None, ()
    input_mask = frame.mask(mask)
    return (input_mask, ()) if input_mask.any() else (None, (MASK_OUTSIDE,))
