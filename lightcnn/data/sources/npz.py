"""Images in a .npz of plain arrays, in MedMNIST's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import SPLIT_NAMES, Dataset, assemble
from lightcnn.data.files.decode import reduce_all
from lightcnn.data.files.spelling import require_class_names
from lightcnn.errors import DataError
from lightcnn.text import first_line

ARRAY_NAMES = frozenset(
    (*(f"{split_name}_{kind}" for split_name in SPLIT_NAMES for kind in ("images", "labels")), "class_names")
)
"""Arrays that are unpacked; others, which may be of any size, are not."""


def read_npz(path: Path) -> Dataset:
    """Reads `train_images` and `train_labels`, and if present those of val and test. Raises: DataError."""
    arrays = _plain_arrays(path)
    names = [name for name in SPLIT_NAMES if f"{name}_images" in arrays]
    if "train" not in names:
        raise DataError(
            f"data {path}: no train_images among its arrays ({', '.join(arrays) or 'none'}); "
            "save it with train_images and train_labels"
        )
    images, labels, split = [], [], []
    for name in names:
        if f"{name}_labels" not in arrays:
            raise DataError(f"data {path}: {name}_images without {name}_labels; add them")
        checked_images, checked_labels = _checked(path, name, arrays[f"{name}_images"], arrays[f"{name}_labels"])
        images.append(checked_images)
        labels.append(checked_labels)
        split += [name] * len(checked_labels)
    if len({array.shape[1:] for array in images}) > 1:
        raise DataError(
            f"data {path}: its splits differ in image shape: {[array.shape[1:] for array in images]}; "
            "save all with one shape"
        )
    all_labels = np.concatenate(labels)
    classes = _class_names(path, arrays.get("class_names"), all_labels)
    missing = sorted(set(range(len(classes))) - set(labels[0].tolist()))
    if missing:
        raise DataError(
            f"data {path}: class {missing[0]} ({classes[missing[0]]}) has no image in train; "
            "number the labels 0 to classes - 1, without gaps"
        )
    only_train = names == ["train"]
    return assemble(
        str(path),
        reduce_all(np.concatenate(images)),
        all_labels,
        classes,
        split=np.full(len(all_labels), "", dtype="<U5") if only_train else np.array(split),
    )


def _plain_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"data {path}: no such file; check the path")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] if name in ARRAY_NAMES else np.empty(0) for name in archive.files}
    except Exception as error:  # an untrusted file can cause any error in numpy and zipfile
        reason = first_line(error)
        if "Object arrays" in reason:
            raise DataError(
                f"data {path}: contains an array of objects, which would have to be unpickled; put images of several "
                "sizes into class folders or a .csv, or save them as uint8 of one size"
            ) from None
        raise DataError(
            f"data {path}: cannot be read as an npz of plain arrays ({reason}); save it with numpy.savez"
        ) from None


def _checked(
    path: Path, name: str, images: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, H, W, C) and labels (N,) of one split. Raises: DataError."""
    where = f"data {path}: {name}"
    if images.dtype != np.uint8:
        raise DataError(f"{where}_images are {images.dtype}, not uint8; scale them to 0..255 and convert them")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(f"{where}_images have shape {images.shape}; give (N, H, W), (N, H, W, 1) or (N, H, W, 3)")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        nan = ", NaN among them" if labels.dtype.kind == "f" and np.isnan(labels).any() else ""
        raise DataError(f"{where}_labels are {labels.dtype} of shape {labels.shape}{nan}; give integers (N,) or (N, 1)")
    if len(labels) != len(images) or not len(labels):
        raise DataError(
            f"{where} has {len(images)} images and {len(labels)} labels; give one label per image, at least one"
        )
    return images, labels.astype(np.int64)


def _class_names(path: Path, names: NDArray[Any] | None, labels: NDArray[np.int64]) -> tuple[str, ...]:
    """The names of the classes; their numbers if none are given. Raises: DataError."""
    low, high = int(labels.min()), int(labels.max())
    if low != 0:
        raise DataError(f"data {path}: labels start at {low}, not at 0; number the classes 0 to {high - low}")
    if names is None:
        if high >= len(labels):
            raise DataError(
                f"data {path}: the highest label is {high} for {len(labels)} images; number the classes from 0"
            )
        return tuple(str(i) for i in range(high + 1))
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
        raise DataError(
            f"data {path}: class_names must be distinct texts, one per class, not {names.dtype} {names.shape}"
        )
    require_class_names(f"data {path}: class_names", names.tolist())
    if high >= len(names):
        raise DataError(f"data {path}: label {high}, but class_names has {len(names)} names; add the missing names")
    return tuple(str(name) for name in names)
