"""Labelled images, whatever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.decode import Decoded, decode
from lightcnn.errors import DataError

SPLIT_NAMES = ("train", "val", "test")
MOST_CLASSES = 5_000
"""More classes than that are a mistake: a folder of images given as classes, an index column given as labels."""
GroupSource = Literal["none", "manifest", "source", "names", "near duplicates", "names and near duplicates"]


@dataclass(frozen=True)
class Dataset:
    """Labelled images. `images[i]` is uint8 (H, W, C) with C the same throughout; sizes may differ.

    `split[i]` is train, val, test, or empty where the source does not say. `groups[i]` names the photograph, patient
    or writer that an image comes from, and `groups_from` where that is known from; with none, every image is its own.
    `groups_reason` is one sentence on what was looked for and what was found.
    `skipped` are the paths and faults of files that were left out. `masks[i]`, where there are any, is bool (H, W).
    """

    source: str
    images: Sequence[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    split: NDArray[np.str_]
    groups: NDArray[np.str_]
    groups_from: GroupSource = "none"
    groups_reason: str = ""
    stand_in: bool = False
    note: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    masks: Sequence[NDArray[np.bool_]] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.images.channels if isinstance(self.images, ImageFiles) else int(self.images[0].shape[2])

    @cached_property
    def size(self) -> int:
        """The median of the images' longer sides, in pixels."""
        return int(np.median([max(height, width) for height, width in self.shapes]))

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of every image as it is kept."""
        if isinstance(self.images, ImageFiles):
            return [file.shape[:2] for file in self.images.files]
        if isinstance(self.images, np.ndarray):
            return [self.images.shape[1:3]] * len(self.images)
        return [image.shape[:2] for image in self.images]

    @property
    def groups_known(self) -> bool:
        """Whether anything is known about which images come from one source."""
        return self.groups_from != "none"

    @cached_property
    def pixel_hashes(self) -> tuple[str, ...]:
        """SHA-256 of every image's pixels: two files with the same pixels have the same one."""
        if isinstance(self.images, ImageFiles):
            return tuple(file.digest for file in self.images.files)
        return tuple(pixel_hash(image) for image in self.images)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, classes, groups and given splits: the same data has the same one."""
        digest = hashlib.sha256(repr((self.classes, self.split.tolist())).encode() + self.labels.tobytes())
        digest.update(repr((self.channels, self.groups.tolist() if self.groups_known else [])).encode())
        digest.update("".join(self.pixel_hashes).encode())
        return digest.hexdigest()

    def with_groups(self, groups: Sequence[str] | NDArray[np.str_], groups_from: GroupSource, why: str = "") -> Dataset:
        """The same data with other groups, and one sentence on why these."""
        return replace(self, groups=np.asarray(groups, dtype=np.str_), groups_from=groups_from, groups_reason=why)


@dataclass(frozen=True)
class FileFacts:
    """What is kept of a file that was read: size, format and Pillow mode of its own, hash and shape of its pixels.

    `several` where the file holds more pages or frames, of which the first counts.
    """

    path: Path
    format: str
    mode: str
    width: int
    height: int
    digest: str
    shape: tuple[int, int, int]
    several: bool = False


class ImageFiles(Sequence[NDArray[np.uint8]]):
    """Images in files, each of which has been read once; those that were not kept are read again when asked for."""

    def __init__(
        self, files: Sequence[FileFacts], kept: Sequence[NDArray[np.uint8] | None], channels: Literal[1, 3]
    ) -> None:
        self.files = tuple(files)
        self.channels = channels
        self._kept = tuple(kept)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        """uint8 (H, W, channels)."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        pixels = self._kept[index]
        return as_channels(decode(self.files[index].path).pixels if pixels is None else pixels, self.channels)


def as_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """A grey image (H, W, 1) as colour where colour is wanted."""
    return np.repeat(pixels, channels, axis=2) if pixels.shape[2] < channels else pixels


def facts(path: Path, decoded: Decoded) -> FileFacts:
    """What is kept of a decoded file beside its pixels."""
    height, width, channels = decoded.pixels.shape
    digest, shape = pixel_hash(decoded.pixels), (height, width, channels)
    return FileFacts(path, decoded.format, decoded.mode, decoded.width, decoded.height, digest, shape, decoded.several)


def pixel_hash(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of shape and pixels; a grey image in three equal channels counts as grey."""
    if pixels.shape[2] == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        pixels = pixels[..., :1]
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def assemble(source: str, images: Any, labels: NDArray[np.int64], classes: tuple[str, ...], **more: Any) -> Dataset:
    """A dataset, with what is the same for all sources checked and filled in. Raises: DataError."""
    if len(classes) < 2:
        raise DataError(f"data {source}: one class only, {classes[0]!r}; a classifier needs two or more")
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"data {source}: {len(classes):,} classes, more than {MOST_CLASSES:,}; give folders or labels of classes, "
            "not of single images"
        )
    count = len(labels)
    if len(classes) > 50 and len(classes) * 2 > count:
        raise DataError(
            f"data {source}: {len(classes):,} classes for {count:,} images, fewer than two each; give folders or "
            "labels of classes, not of single images"
        )
    paths = more.pop("paths", tuple(f"{source}#{i}" for i in range(count)))
    split = more.pop("split", np.full(count, "", dtype="<U5"))
    groups = more.pop("groups", np.array([str(i) for i in range(count)]))
    dataset = Dataset(source, images, labels, classes, paths, split, groups, **more)
    if not dataset.skipped:  # what faulty files cost is an audit's to tell, and a split's to refuse
        require_every_class(dataset)
    return dataset


def require_every_class(dataset: Dataset, *, anew: bool = False) -> None:
    """Raises: DataError where a class has no image, or none to train on where the source says which those are.

    `anew`: the sides are cut anew, so that what the source says of them does not matter.
    """
    given = bool((dataset.split == "train").any()) and not anew
    usable = dataset.labels[dataset.split == "train"] if given else dataset.labels
    there = set(usable.tolist())
    for label, name in enumerate(dataset.classes):
        if label not in there:
            lost = ""
            if dataset.skipped:
                shown = " ".join(dataset.skipped[0])
                lost = f" after {len(dataset.skipped)} faulty files were left out (the first: {shown})"
            side = " in train" if given else ""
            raise DataError(
                f"data {dataset.source}: class {name!r} has no image{side}{lost}; add some, or drop the class"
            )
