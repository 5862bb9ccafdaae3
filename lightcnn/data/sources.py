"""From a SOURCE, as people type it, to labelled images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.decode import SUFFIXES, decode
from lightcnn.document import nearest
from lightcnn.errors import DataError

SPLITS = ("train", "val", "test")
SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""What people also call the splits: recognised, and refused with the name that is read."""
Progress = Callable[[int, int], None]
"""Called with images read so far and images in all."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images. `images[i]` is uint8 (H, W, C) with C the same throughout; sizes may differ.

    `split[i]` is train, val, test, or empty where the source does not say. `groups[i]` names the photograph, patient
    or writer that an image comes from; where that is unknown (`groups_known`), every image is its own.
    """

    source: str
    images: Sequence[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    split: NDArray[np.str_]
    groups: NDArray[np.str_]
    groups_known: bool = False
    stand_in: bool = False
    note: str = ""
    _fingerprint: list[str] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.images[0].shape[2])

    @property
    def size(self) -> int:
        """The median of the images' longer sides, in pixels."""
        return int(np.median([max(image.shape[:2]) for image in self.images]))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, classes and given splits: the same data has the same one."""
        if not self._fingerprint:
            digest = hashlib.sha256(repr((self.classes, self.split.tolist())).encode() + self.labels.tobytes())
            for image in self.images:
                digest.update(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
            self._fingerprint.append(digest.hexdigest())
        return self._fingerprint[0]


def load(source: str, progress: Progress | None = None) -> Dataset:
    """The images of a source: `digits`, a folder of class folders, or a .npz in MedMNIST's layout.

    Raises: DataError with one line that names the file, the rule and the remedy.
    """
    if source == "digits":
        return _digits()
    path = Path(source)
    try:
        if path.suffix.lower() == ".npz":
            return _npz(path)
        if path.is_dir():
            return _folder(path, progress)
        if path.is_file():
            raise DataError(
                f"data {source!r}: a file of a kind that is not read; give a folder of class folders, or a .npz"
            )
    except OSError as error:
        raise DataError(f"data {error.filename or source}: cannot be read ({error.strerror}); check the path") from None
    raise DataError(
        f"data {source!r}: no such folder and no built-in data set{nearest(source, ['digits'])}; "
        "give digits, a folder of class folders, or a .npz"
    )


def outline(source: str) -> tuple[int, int, int]:
    """Channels, classes and size of a source, told without reading it: exact for built-in data, else the least.

    The size of unread data is taken as unlimited.
    """
    return (1, 10, 8) if source == "digits" else (1, 2, 1 << 30)


def _digits() -> Dataset:
    """UCI's optical recognition of handwritten digits, as scikit-learn ships it: 1,797 scans of 8×8, 17 levels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return _dataset(
        "digits",
        images,
        bunch.target.astype(np.int64),
        tuple(str(name) for name in bunch.target_names),
        note="the writers of the digits are unknown: each image counts as its own, so scores may be flattered",
    )


def _dataset(source: str, images: Any, labels: NDArray[np.int64], classes: tuple[str, ...], **more: Any) -> Dataset:
    """A dataset, with what is the same for all sources checked and filled in."""
    if len(classes) < 2:
        raise DataError(f"data {source}: one class only, {classes[0]!r}; a classifier needs two or more")
    count = len(labels)
    paths = more.pop("paths", tuple(f"{source}#{i}" for i in range(count)))
    split = more.pop("split", np.full(count, "", dtype="<U5"))
    groups = more.pop("groups", np.array([str(i) for i in range(count)]))
    more.setdefault("note", "which images show the same patient or scene is unknown: each counts as its own source")
    return Dataset(source, images, labels, classes, paths, split, groups, **more)


def _npz(path: Path) -> Dataset:
    arrays = _read_npz(path)
    names = [name for name in SPLITS if f"{name}_images" in arrays]
    if "train" not in names:
        raise DataError(
            f"data {path}: no train_images among its arrays ({', '.join(arrays) or 'none'}); "
            "save it with train_images and train_labels"
        )
    images, labels, split = [], [], []
    for name in names:
        if f"{name}_labels" not in arrays:
            raise DataError(f"data {path}: {name}_images without {name}_labels; add them")
        part, marks = _checked(path, name, arrays[f"{name}_images"], arrays[f"{name}_labels"])
        images.append(part)
        labels.append(marks)
        split += [name] * len(marks)
    if len({part.shape[1:] for part in images}) > 1:
        raise DataError(
            f"data {path}: its splits differ in image shape: {[part.shape[1:] for part in images]}; save them alike"
        )
    marks = np.concatenate(labels)
    classes = _class_names(path, arrays.get("class_names"), marks)
    missing = sorted(set(range(len(classes))) - set(labels[0].tolist()))
    if missing:
        raise DataError(
            f"data {path}: class {missing[0]} ({classes[missing[0]]}) has no image in train; "
            "number the labels 0 to classes - 1, without gaps"
        )
    only_train = names == ["train"]
    return _dataset(
        str(path),
        np.concatenate(images),
        marks,
        classes,
        split=np.full(len(marks), "", dtype="<U5") if only_train else np.array(split),
    )


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"data {path}: no such file; check the path")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy and zipfile raise whatever a hostile file leads them into
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"data {path}: not readable as npz of plain arrays ({reason}); save it with numpy.savez"
        ) from None


def _checked(
    path: Path, name: str, images: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    where = f"data {path}: {name}"
    if images.dtype != np.uint8:
        raise DataError(f"{where}_images are {images.dtype}, not uint8; scale to 0..255 and convert")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(f"{where}_images have shape {images.shape}; give (N, H, W), (N, H, W, 1) or (N, H, W, 3)")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{where}_labels are {labels.dtype} of shape {labels.shape}; give integers (N,) or (N, 1)")
    if len(labels) != len(images) or not len(labels):
        raise DataError(
            f"{where} has {len(images)} images and {len(labels)} labels; give as many of each, and at least one"
        )
    return images, labels.astype(np.int64)


def _class_names(path: Path, names: NDArray[Any] | None, labels: NDArray[np.int64]) -> tuple[str, ...]:
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
            f"data {path}: class_names must be distinct texts, one a class, not {names.dtype} {names.shape}"
        )
    if high >= len(names):
        raise DataError(f"data {path}: label {high}, but class_names has {len(names)} names; add the missing names")
    return tuple(str(name) for name in names)


def _folder(path: Path, progress: Progress | None) -> Dataset:
    """A folder of class folders, with or without train, val and test above them."""
    roots = _roots(path)
    classes = tuple(folder.name for folder in _class_folders(roots[0][1]))
    if not classes:
        raise DataError(
            f"data {roots[0][1]}: no class folders in it; put the images of each class into a folder of its name"
        )
    files: list[tuple[Path, int, str]] = []
    for split, root in roots:
        for folder in _class_folders(root):
            if folder.name not in classes:
                raise DataError(
                    f"data {folder}: a class that train does not have{nearest(folder.name, classes)}; "
                    "add it there or rename it"
                )
            files += [(file, classes.index(folder.name), split) for file in _image_files(folder)]
    images = []
    for done, (file, _, _) in enumerate(files):
        images.append(decode(file))
        if progress:
            progress(done + 1, len(files))
    if any(image.shape[2] == 3 for image in images):
        images = [np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image for image in images]
    return _dataset(
        str(path),
        images,
        np.array([label for _, label, _ in files], dtype=np.int64),
        classes,
        paths=tuple(str(file.relative_to(path)) for file, _, _ in files),
        split=np.array([split for _, _, split in files], dtype="<U5"),
    )


def _roots(path: Path) -> list[tuple[str, Path]]:
    """The folders that hold class folders, with the split each stands for; ('', path) where no split is given."""
    folders = {folder.name.lower(): folder for folder in _subfolders(path)}
    given = [(name, folders[name]) for name in SPLITS if name in folders]
    meant = {alias: name for alias, name in SPLIT_ALIASES.items() if alias in folders}
    if not given and not {"train", "test"} <= set(meant.values()):
        return [("", path)]
    for name, folder in folders.items():
        if name not in SPLITS:
            advice = f"rename it to {meant[name]}" if name in meant else "move it away"
            raise DataError(f"data {folder}: stands beside split folders and is none of {', '.join(SPLITS)}; {advice}")
    if "train" not in folders:
        raise DataError(f"data {path}: has {', '.join(name for name, _ in given)} but no train folder; add it")
    for _, folder in given:
        if not _subfolders(folder):
            raise DataError(
                f"data {folder}: no class folders in it; fill it, or remove it to have that side cut from train"
            )
    return given


def _class_folders(root: Path) -> list[Path]:
    """The class folders of one side, each with images directly in it. Raises: DataError for any that has none."""
    folders = _subfolders(root)
    for folder in folders:
        if _image_files(folder):
            continue
        nested = any(_image_files(inner) for inner in _subfolders(folder))
        remedy = (
            f"its images lie in folders below; move them up, or give {folder}" if nested else "fill it or remove it"
        )
        raise DataError(
            f"data {folder}: no image directly in this class folder ({', '.join(sorted(SUFFIXES))}); {remedy}"
        )
    return folders


def _subfolders(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
