"""The labelled images of any data source, and what is known about their splits and groups."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.conversion import intensity_warnings, pixel_warnings
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.image_files import ImageFiles, is_one_colour, pixel_hash
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning

SPLIT_NAMES = ("train", "val", "test")
MAX_CLASSES = 5_000
"""More classes than that are a mistake: a folder of images taken for classes, or an index column taken for labels."""
INTENSITY_CODES = ("intensity_scale", "clipped_intensities", "own_intensity_scale")
"""Warnings that depend on which images are trained on."""
GroupSource = Literal["none", "manifest", "source", "names", "near duplicates", "names and near duplicates"]


@dataclass(frozen=True)
class Dataset:
    """Labelled images. `images[i]` is uint8 (H, W, C) with the same C for all images; sizes may differ.

    `split[i]` is train, val or test, or empty if the source gives no split. `groups[i]` names the photograph, patient
    or writer that the image comes from, and `groups_from` how that is known; with `none`, every image is its own group,
    and with `near duplicates`, every photograph with its copies.
    `groups_reason` is one sentence on how groups were searched for, and the result.
    `skipped` lists path and fault of the files that were left out. `masks[i]`, if any, is bool (H, W).
    `warnings` lists what reading the source changed that a user would not assume.
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
    warnings: tuple[ReportWarning, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour images."""
        return self.images.channels if isinstance(self.images, ImageFiles) else int(self.images[0].shape[2])

    @cached_property
    def size(self) -> int:
        """The median longer side of the images, in pixels."""
        return int(np.median(self.shapes.max(axis=1)))

    @property
    def shapes(self) -> NDArray[np.integer[Any]]:
        """Height and width of every image as it is stored, in pixels, (N, 2)."""
        if isinstance(self.images, ImageFiles):
            return self.images.facts.shapes[:, :2]
        if isinstance(self.images, np.ndarray):
            return np.broadcast_to(np.array(self.images.shape[1:3]), (len(self.images), 2))
        return np.array([image.shape[:2] for image in self.images])

    @property
    def groups_known(self) -> bool:
        """Whether it is known which images show one patient: near duplicates alone are photographs, not patients."""
        return self.groups_from not in ("none", "near duplicates")

    @cached_property
    def one_colour(self) -> NDArray[np.bool_]:
        """Whether all pixels of an image are equal, (N,)."""
        if isinstance(self.images, ImageFiles):
            return self.images.facts.one_colour
        return np.array([is_one_colour(image) for image in self.images])

    @property
    def scale(self) -> IntensityScale | None:
        """The scale of images with more than 8 bits per channel; None for the rule of runs that have none."""
        return self.images.scale if isinstance(self.images, ImageFiles) else OWN_SCALE

    @cached_property
    def pixel_hashes(self) -> NDArray[np.bytes_]:
        """SHA-256 of every image's pixels in hexadecimal digits, (N,): files with equal pixels have equal hashes."""
        if isinstance(self.images, ImageFiles):
            return self.images.facts.pixel_hashes
        return np.array([pixel_hash(image) for image in self.images], dtype="S64")

    @cached_property
    def shown_hashes(self) -> NDArray[np.bytes_]:
        """The same, (N,), but its own number for an image of a single colour: it shows nothing, so it is no copy."""
        hashes, blank = self.pixel_hashes.copy(), np.flatnonzero(self.one_colour)
        hashes[blank] = blank.astype("S64")
        return hashes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, classes, groups and the given split: equal data have equal fingerprints."""
        digest = hashlib.sha256(repr((self.classes, self.split.tolist())).encode() + self.labels.tobytes())
        digest.update(repr((self.channels, self.groups.tolist() if self.groups_from != "none" else [])).encode())
        digest.update(self.pixel_hashes.tobytes())
        return digest.hexdigest()

    def scaled_to(self, training: NDArray[np.int64]) -> Dataset:
        """The same data on the scale of intensities of the training images at these indices, and warnings about it."""
        if not isinstance(self.images, ImageFiles):
            return self
        return self._on(self.images.scaled_to(training))

    def with_scale(self, scale: IntensityScale | None) -> Dataset:
        """The same data on the scale of a run, and warnings about it."""
        return self._on(self.images.with_scale(scale)) if isinstance(self.images, ImageFiles) else self

    def _on(self, images: ImageFiles) -> Dataset:
        """The same data with the same images on another scale."""
        kept = [warning for warning in self.warnings if warning.code not in INTENSITY_CODES]
        about_scale = intensity_warnings(images.facts.conversions(), images.scale)
        return replace(self, images=images, warnings=(*kept, *about_scale))

    def with_warnings(self, *warnings: ReportWarning) -> Dataset:
        """The same data with further warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))

    def with_groups(
        self, groups: Sequence[str] | NDArray[np.str_], groups_from: GroupSource, reason: str = ""
    ) -> Dataset:
        """The same data with other groups, and one sentence on how they were determined."""
        return replace(self, groups=np.asarray(groups, dtype=np.str_), groups_from=groups_from, groups_reason=reason)


def assemble(
    source: str,
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    paths: tuple[str, ...] | None = None,
    split: NDArray[np.str_] | None = None,
    groups: NDArray[np.str_] | None = None,
    groups_from: GroupSource = "none",
    stand_in: bool = False,
    note: str = "",
    skipped: tuple[tuple[str, str], ...] = (),
    warnings: tuple[ReportWarning, ...] = (),
    masks: Sequence[NDArray[np.bool_]] | NDArray[np.bool_] | None = None,
) -> Dataset:
    """A dataset after the checks that all sources share; what a source does not know is filled in. Raises: DataError.

    Default paths are `SOURCE#0`, `SOURCE#1` and so on; by default there is no split, and every image is its own group.
    """
    count = len(labels)
    _require_plausible_classes(source, classes, count)
    dataset = Dataset(
        source,
        cast("Sequence[NDArray[np.uint8]]", images),  # an array (N, H, W, C) is a sequence in everything that is used
        labels,
        classes,
        paths=tuple(f"{source}#{i}" for i in range(count)) if paths is None else paths,
        split=np.full(count, "", dtype="<U5") if split is None else split,
        groups=np.array([str(i) for i in range(count)]) if groups is None else groups,
        groups_from=groups_from,
        stand_in=stand_in,
        note=note,
        skipped=skipped,
        warnings=warnings,
        masks=cast("Sequence[NDArray[np.bool_]] | None", masks),
    )
    dataset = dataset.with_warnings(*_pixel_warnings(dataset))
    if not skipped:  # an audit reports the classes that lost all images to faulty files; making a split refuses them
        require_every_class(dataset)
    return dataset


def _pixel_warnings(dataset: Dataset) -> list[ReportWarning]:
    """Warnings about what reading did to the values of the files, and about images that show nothing."""
    warnings: list[ReportWarning] = []
    if isinstance(dataset.images, ImageFiles):
        warnings += pixel_warnings(dataset.images.facts.conversions(), dataset.images.scale)
    blank = np.flatnonzero(dataset.one_colour)
    if len(blank):
        what = "image has" if len(blank) == 1 else "images have"
        message = f"{len(blank):,} {what} a single colour ({dataset.paths[blank[0]]}): repair or remove such images."
        warnings.append(ReportWarning("one_colour_images", message, len(blank)))
    return warnings


def _require_plausible_classes(source: str, classes: tuple[str, ...], count: int) -> None:
    """Raises: DataError if there are fewer than two classes, or so many that they must be single images."""
    if len(classes) < 2:
        raise DataError(f"data {source}: only one class, {classes[0]!r}; a classifier needs two or more")
    remedy = "give folders or labels of classes, not of single images"
    if len(classes) > MAX_CLASSES:
        raise DataError(f"data {source}: {len(classes):,} classes, more than {MAX_CLASSES:,}; {remedy}")
    if len(classes) > 50 and len(classes) * 2 > count:
        raise DataError(
            f"data {source}: {len(classes):,} classes for {count:,} images, fewer than two images per class; {remedy}"
        )


def require_every_class(dataset: Dataset, *, new_split: bool = False) -> None:
    """Raises: DataError if a class has no image, or none in the training set of a given split.

    `new_split`: the split that the source gives will not be used, and is ignored here.
    """
    given = bool((dataset.split == "train").any()) and not new_split
    usable = dataset.labels[dataset.split == "train"] if given else dataset.labels
    present = set(usable.tolist())
    for label, name in enumerate(dataset.classes):
        if label not in present:
            where = " in train" if given else ""
            raise DataError(
                f"data {dataset.source}: class {name!r} has no image{where}{_format_skipped(dataset)}; "
                "add some, or remove the class"
            )


def _format_skipped(dataset: Dataset) -> str:
    """How many files were left out, as the end of a clause; empty if none."""
    if not dataset.skipped:
        return ""
    first = " ".join(dataset.skipped[0])
    return f" after {len(dataset.skipped)} faulty files were left out (the first: {first})"
