"""Images that are given in Python: arrays, or a PyTorch data set of (image, label).

In documents their source is `arrays`. What is given is known only inside `given`: a recipe with this source is trained
again from Python, with the same arrays, and not from the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.dataset import Dataset, assemble
from lightcnn.data.files.decode import pixels_of, reduce_all, reduce_pixels
from lightcnn.data.files.spelling import require_class_names, with_one_spelling
from lightcnn.data.sources.manifest import spelling_warnings
from lightcnn.data.sources.table import MISSING
from lightcnn.errors import DataError
from lightcnn.recipe import ARRAYS
from lightcnn.text import format_error

NOT_STORED = "The images were given in Python and are not stored: train again with lightcnn.train(FILE, data=(X, y))."
"""The head of a recipe with such images."""


@dataclass(frozen=True, eq=False)
class GivenImages:
    """The data of a call, which are read when they are first needed, after its other arguments are checked."""

    data: Any
    groups: Any

    @cached_property
    def dataset(self) -> Dataset:
        """The images. Raises: DataError."""
        return read_arrays(self.data, self.groups)


_GIVEN: ContextVar[GivenImages | None] = ContextVar("given", default=None)


@contextmanager
def given(data: Any, groups: Any = None) -> Iterator[str]:
    """Makes images known to `load` inside this context, and returns their source; that of a path or a name is itself.

    `data` is a path, the name of a data set, a pair of arrays (X, y), or an object with a length and items of (image,
    label), which is read once in order. `groups` (N,) names the patient or photograph of each image. Raises: DataError;
    `load` raises that of arrays.
    """
    if isinstance(data, (str, Path)):
        if groups is not None:
            raise DataError(f"data {str(data)!r}: groups are given with arrays only; write them into a .csv")
        if not str(data):
            raise DataError("data: is empty; give a path, the name of a data set, or arrays (X, y)")
        yield str(data)
        return
    token = _GIVEN.set(GivenImages(data, groups))
    try:
        yield ARRAYS
    finally:
        _GIVEN.reset(token)


def are_given() -> bool:
    """Whether images are given now."""
    return _GIVEN.get() is not None


def recipe_head() -> str:
    """What a recipe of the images that are given now begins with; empty if none are."""
    return NOT_STORED if are_given() else ""


def given_arrays() -> Dataset:
    """The images that are given now. Raises: DataError if there are none."""
    images = _GIVEN.get()
    if images is None:
        raise DataError(
            f"data {ARRAYS!r}: the images were arrays in Python, which are not stored; give them again from "
            "Python with data=(X, y), or write them into a .npz"
        )
    return images.dataset


def read_arrays(data: Any, groups: Any = None) -> Dataset:
    """The data set of images X, uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), and labels y (N,): integers or texts.

    Raises: DataError.
    """
    images, labels = _pair(data)
    checked: Any = images
    if isinstance(images, list):
        if len({image.shape[2] for image in images}) > 1:
            raise DataError("data: some images are grey and others have three channels; convert them to one kind")
    else:
        checked = reduce_all(_images(images))
    codes, classes = _classes(labels, len(checked))
    if groups is None:
        return assemble(ARRAYS, checked, codes, classes)
    names, spellings = with_one_spelling(_groups(groups, len(checked)))
    warnings = tuple(spelling_warnings(spellings))
    return assemble(ARRAYS, checked, codes, classes, groups=np.array(names), groups_from="manifest", warnings=warnings)


def _pair(data: Any) -> tuple[Any, Any]:
    """Images and labels; images that come one by one are a list of (H, W, C), each reduced as soon as it is read."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and hasattr(data[0], "shape"):
        return _array(data[0], "X", "uint8 (N, H, W[, C])"), data[1]
    unknown = f"data: {type(data).__name__} is neither a path, nor arrays (X, y), nor a data set of (image, label)"
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, (dict, np.ndarray)):
        raise DataError(unknown)
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], list):
        raise DataError("data: X is a list; make it an array, as in numpy.array(X, dtype='uint8')")
    images, labels = [], []
    for number, item in enumerate(_items(data)):
        if not (isinstance(item, (tuple, list)) and len(item) == 2):
            raise DataError(unknown)
        pixels = _image(_array(item[0], f"image {number}", "uint8 (H, W[, C])"), number)
        images.append(reduce_pixels(pixels).copy())  # the data set may use the memory of the image again
        labels.append(_plain(item[1], number))
    return images, labels


def _items(data: Any) -> Iterator[Any]:
    """The items of a data set, in order. Raises: DataError for a table of pandas, or if an item cannot be read."""
    kind = type(data).__name__
    if hasattr(data, "iloc"):  # a table or a column of pandas, whose numbers are labels of rows and not places
        raise DataError(
            f"data: {kind} is a table, not a data set of (image, label); give arrays (X, y), or write a .csv with the "
            "columns path and label and give its path"
        )
    try:
        count = len(data)
    except Exception as error:  # whatever the code of a user raises; also below
        raise DataError(
            f"data: {kind} has no length ({format_error(error)}); give arrays (X, y), or a data set with a length"
        ) from error
    if not count:
        raise DataError(f"data: {kind} is empty; give at least one image")
    for index in range(count):
        try:
            item = data[index]
        except Exception as error:
            raise DataError(
                f"data: {kind} has a length of {count}, but its item {index} cannot be read ({format_error(error)}); "
                f"it must give (image, label) for every index from 0 to {count - 1}"
            ) from error
        yield item


def _array(value: Any, name: str, expected: str) -> NDArray[Any]:
    """An array, a tensor, a list or a PIL image as an array; a PIL image is turned upright.

    Raises: DataError for lists of unequal lengths, and for PIL images that are neither grey nor RGB.
    """
    if isinstance(value, Image.Image):
        return pixels_of(value, f"data: {name}")
    if np.ma.is_masked(value):
        raise DataError(f"data: {name} has masked values; fill them in, or leave these images out")
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"data: {name} cannot be made an array; give {expected}") from None
    return array.astype(object) if array.dtype.kind == "T" else array  # texts of any length, some perhaps missing


def _plain(label: Any, number: int) -> Any:
    """A label as a plain value. Raises: DataError for vectors."""
    if not hasattr(label, "item"):
        return label
    try:
        return label.item()
    except (ValueError, RuntimeError):  # of NumPy, of torch
        shape = tuple(label.shape)
        raise DataError(
            f"data: the label of image {number} has shape {shape}; give one integer or text per image: "
            "label.argmax() for one-hot labels"
        ) from None


def _images(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images (N, H, W, C)."""
    _require_uint8(images.dtype)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        remedy = "; move the channels to the end" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        raise DataError(
            f"data: X has shape {images.shape}; give (N, H, W), (N, H, W, 1) or (N, H, W, 3), N at least 1{remedy}"
        )
    return np.ascontiguousarray(images)


def _image(image: NDArray[Any], number: int) -> NDArray[np.uint8]:
    """An image (H, W, C)."""
    _require_uint8(image.dtype, ", or leave out what makes floats of them, such as ToTensor of torchvision")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        is_first = image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3)
        remedy = "; move the channels to the end" if is_first else ""
        raise DataError(f"data: image {number} has shape {image.shape}; give (H, W), (H, W, 1) or (H, W, 3){remedy}")
    return np.ascontiguousarray(image)


def _require_uint8(dtype: np.dtype[Any], alternative: str = "") -> None:
    """Raises: DataError for other types; the message ends with the `alternative` to converting them."""
    if dtype.kind in "OUS":
        raise DataError(
            "data: images are texts or other objects, not arrays; give their pixels, or a path to the files"
        )
    if dtype != np.uint8:
        raise DataError(
            f"data: images are {dtype}, not uint8; scale them to 0..255 and convert them to uint8{alternative}"
        )


def _classes(labels: Any, count: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers of classes (N,) and their names: integers in ascending order, texts in alphabetical order."""
    array = _array(labels, "labels", "one label per image, (N,)")
    if array.shape != (count,):
        raise DataError(f"data: {count} images, but labels of shape {array.shape}; give one label per image, (N,)")
    if _has_missing(labels, array):
        raise DataError("data: labels are missing for some images; leave these images out")
    if array.dtype.kind not in "iuU" and not (
        array.dtype.kind == "O" and all(isinstance(label, (str, np.str_)) for label in array)
    ):
        raise DataError(f"data: labels are {array.dtype}; give integers or texts")
    if (
        isinstance(labels, (list, tuple))
        and array.dtype.kind == "U"
        and not all(isinstance(each, str) for each in labels)
    ):
        raise DataError("data: labels are texts and others; give integers or texts")
    if missing := _missing_text(array):
        remedy = "leave these images out, or give the class another name"
        raise DataError(f"data: labels are missing for some images ({missing}); {remedy}")
    values, codes = np.unique(array.astype(str) if array.dtype.kind == "O" else array, return_inverse=True)
    names = tuple(str(value) for value in values)
    if array.dtype.kind in "OU":
        require_class_names("data: labels", names)
    return codes.astype(np.int64).reshape(-1), names


def _groups(groups: Any, count: int) -> list[str]:
    """The names of the groups (N,)."""
    array = _array(groups, "groups", "one group per image, (N,)")
    if array.shape != (count,):
        raise DataError(f"data: {count} images, but groups of shape {array.shape}; give one group per image, (N,)")
    if any(isinstance(group, (np.ndarray, list, dict, set)) for group in array):
        raise DataError("data: groups are arrays or lists; give one integer or text per image")
    remedy = "give every image of an unknown group its own"
    if _has_missing(groups, array):
        raise DataError(f"data: groups are missing for some images; {remedy}")
    if missing := _missing_text(array):
        raise DataError(f"data: groups are missing for some images ({missing}); {remedy}")
    return [str(group) for group in array]


def _has_missing(values: Any, array: NDArray[Any]) -> bool:
    """Whether a value (N,) is missing. A list is checked itself: beside texts, NumPy makes the text "nan" of a NaN."""
    return any(_is_missing(value) for value in (values if isinstance(values, (list, tuple)) else array))


def _is_missing(value: Any) -> bool:
    """None; NaN and NaT, which differ from themselves; or pandas' NA, of which that is unknown."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True
    except ValueError:  # an array, of which some values may differ
        return False


def _missing_text(array: NDArray[Any]) -> str:
    """The first text (N,) that is no name, as data frames write missing values; empty if there is none."""
    if array.dtype.kind not in "OU":
        return ""
    return next((repr(str(each)) for each in array if isinstance(each, str) and each.strip() in MISSING), "")
