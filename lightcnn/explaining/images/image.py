"""Pictures to be explained: as the network reads them, as people see them whole, and where the truth lies in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.dataset import Dataset, Files
from lightcnn.data.files.decode import SUFFIXES, decode, decode_mask, decode_whole, reduced
from lightcnn.data.files.walk import hidden
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import DataError, InputError
from lightcnn.explaining.images.projection import Frame

Whole = tuple[NDArray[np.uint8], tuple[int, int]]
"""Pixels uint8 (H, W, 1 or 3), and height and width of the picture where these are fewer."""
UNSEEN = "the mask covers nothing of what the network sees"


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture: `pixels` uint8 (C, S, S), which are normalised for the network, and `whole()` as people see it.

    `frame` says where the one lies in the other. `label` and `group` where they are known; `mask` (S, S) where the
    truth is.
    """

    name: str
    pixels: Tensor
    frame: Frame
    whole: Callable[[], Whole]
    label: str | None = None
    group: str | None = None
    mask: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()


class MaskFolder:
    """Masks in files, found by the stem of the picture's name."""

    def __init__(self, folder: Path) -> None:
        """Raises: InputError where there is no folder with pictures in it."""
        self.folder = folder
        if not folder.is_dir():
            raise InputError(f"--masks {folder}: no such folder; give one with a mask NAME.png for a picture NAME.jpg")
        files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not hidden(path)]
        self._files = {path.stem: path for path in files}
        if not files:
            raise InputError(f"--masks {folder}: no images in this folder ({', '.join(sorted(SUFFIXES))})")
        if len(self._files) < len(files):
            twice = next(path for path in files if self._files[path.stem] != path)
            raise InputError(
                f"--masks {folder}: {twice.name} and {self._files[twice.stem].name} have one stem; keep one"
            )

    def require_any(self, names: Sequence[str]) -> None:
        """Raises: InputError where no picture has a mask."""
        if not any(Path(name).stem in self._files for name in names):
            shown = f", as {Path(names[0]).stem}.png" if names else ""
            raise InputError(
                f"--masks {self.folder}: none of the {len(names)} images has a mask there; name them alike{shown}"
            )

    def read(self, name: str, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """The mask (H, W) of a picture of that name, height and width; None where there is none. Raises: DataError."""
        path = self._files.get(Path(name).stem)
        if path is None:
            return None
        try:
            mask = decode_mask(path)
        except DataError as error:
            raise DataError(f"its mask {path} {error}") from None
        if mask.shape != size:
            found, right = ("×".join(map(str, shape[::-1])) for shape in (mask.shape, size))
            raise DataError(f"its mask {path} is {found} pixels, and the upright picture {right}; make them fit")
        return mask


def from_file(path: Path, rule: Preprocess, masks: MaskFolder | NDArray[np.bool_] | None = None) -> Picture:
    """The picture in a file, its mask in a folder or an array. Raises: DataError that says what is wrong with it."""
    if path.exists() and not path.is_file():
        raise DataError("is no file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on damaged EXIF and bombs: what matters is an error here
        decoded = decode(path).pixels
        mask = _mask_of(path, masks)
    frame = Frame.of(decoded.shape, rule)
    seen, notes = _at_input(mask, frame)
    return Picture(str(path), rule.prepare(decoded), frame, lambda: decode_whole(path), mask=seen, notes=notes)


def _mask_of(path: Path, masks: MaskFolder | NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if masks is None:
        return None
    height, width = decode_whole(path)[1]
    if isinstance(masks, MaskFolder):
        return masks.read(str(path), (height, width))
    if masks.shape != (height, width):
        raise DataError(f"is {width}×{height} pixels upright, and its mask has the shape {masks.shape}")
    return masks


def from_array(
    name: str, pixels: NDArray[np.uint8], rule: Preprocess, mask: NDArray[np.bool_] | None = None
) -> Picture:
    """An array (H, W, 1 or 3), treated as a file with these pixels. Raises: DataError where the mask does not fit."""
    size = pixels.shape[0], pixels.shape[1]
    if mask is not None and mask.shape != size:
        raise DataError(f"is {size[1]}×{size[0]} pixels, and its mask has the shape {mask.shape}")
    smaller = reduced(pixels)
    frame = Frame.of(smaller.shape, rule)
    seen, notes = _at_input(mask, frame)
    return Picture(name, rule.prepare(smaller), frame, lambda: (pixels, size), mask=seen, notes=notes)


def from_dataset(dataset: Dataset, index: int, rule: Preprocess, masks: MaskFolder | None = None) -> Picture:
    """An image of a dataset, as a training prepares it; `masks` before the dataset's own. Raises: DataError."""
    pixels, name = dataset.images[index], dataset.paths[index]
    files = dataset.images.files if isinstance(dataset.images, Files) else None

    def whole() -> Whole:
        return decode_whole(files[index].path) if files else (pixels, (pixels.shape[0], pixels.shape[1]))

    own = None if dataset.masks is None else dataset.masks[index]
    frame = Frame.of(pixels.shape, rule)
    mask, notes = _at_input(own if masks is None else masks.read(name, whole()[1]), frame)
    group = str(dataset.groups[index]) if dataset.groups_known else None
    label = dataset.classes[dataset.labels[index]]
    return Picture(name, rule.prepare(pixels), frame, whole, label=label, group=group, mask=mask, notes=notes)


def _at_input(mask: NDArray[np.bool_] | None, frame: Frame) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """A mask of the picture at the input, (S, S), and what must be said of it."""
    if mask is None:
        return None, ()
    seen = frame.mask(mask)
    return (seen, ()) if seen.any() else (None, (UNSEEN,))
