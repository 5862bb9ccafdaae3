"""The index of shards: where each image is, with its label and group, collected by reading all headers once."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.shards.samples import Ignored, Sample, samples
from lightcnn.data.shards.shard_files import ShardFiles
from lightcnn.data.shards.shard_names import shard_paths, shown_names, splits_of
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning
from lightcnn.progress import Progress, no_progress

MAX_LISTED = 3
"""Most files that a warning names."""


class ShardIndex:
    """The N samples of shards, in arrays; texts that several images share are one object.

    `labels` has the number of each label, in the order of their first images.
    """

    def __init__(self, shards: list[Path]) -> None:
        """Raises: DataError if some shards are named by a set and others are not."""
        self.labels: dict[str, int] = {}
        self._shards = shards
        self._shown = shown_names(shards)
        self._sets = splits_of(shards)
        self._names: list[str] = []
        self._numbers, self._offsets, self._sizes, self._codes = array("q"), array("q"), array("q"), array("q")
        self._groups: list[str] = []
        self._identities: dict[str, dict[int, str]] = {}
        self._texts: dict[str, str] = {}
        self._ignored: list[str] = []
        self._ignored_count = 0

    def __len__(self) -> int:
        return len(self._names)

    def add(self, number: int) -> None:
        """Adds the samples of the shard with this number. Raises: DataError."""
        for sample in samples(self._shards[number]):
            if isinstance(sample, Sample):
                self._add(number, sample)
            else:
                self._ignore(number, sample)

    @property
    def files(self) -> ShardFiles:
        """The images."""
        numbers, offsets, sizes = (np.array(values) for values in (self._numbers, self._offsets, self._sizes))
        return ShardFiles(tuple(self._shards), tuple(self._names), numbers.astype(np.int32), offsets, sizes)

    @property
    def codes(self) -> NDArray[np.int64]:
        """The number of each image's label in `labels`, (N,)."""
        return np.array(self._codes, dtype=np.int64)

    @property
    def split(self) -> NDArray[np.str_]:
        """The set that each image's shard is named by, (N,); empty if shards are not named by sets."""
        return np.array(self._sets, dtype="<U5")[np.array(self._numbers, dtype=np.int64)]

    def groups(self, source: str) -> list[str]:
        """The group of each image; none if no image has one. Raises: DataError if only some have one."""
        missing = self._groups.count("")
        if 0 < missing < len(self):
            raise DataError(
                f"data {source}: group: {missing:,} of {len(self):,} images have none, but the others do (the first: "
                f"{self._names[self._groups.index('')]}); add it to every .json (images of one patient or photograph "
                "share a value), or to none"
            )
        return [] if missing else self._groups

    def identities(self) -> dict[str, list[str]]:
        """The values of each key of the .json files that looks like patients, one per image, empty if it has none."""
        return {name: [values.get(i, "") for i in range(len(self))] for name, values in self._identities.items()}

    def warnings(self) -> tuple[ReportWarning, ...]:
        """A warning about files that belong to no image, if there are any."""
        if not self._ignored_count:
            return ()
        listed = ", ".join(self._ignored) + (", ..." if self._ignored_count > MAX_LISTED else "")
        message = (
            f"Files in shards that are no image, label or JSON of a sample were not read: {self._ignored_count:,} "
            f"({listed}); if they are images, name them KEY.jpg, with the suffix of their format behind the first dot."
        )
        return (ReportWarning("files_ignored", message, self._ignored_count),)

    def _add(self, number: int, sample: Sample) -> None:
        for name, value in sample.facts.identities:
            self._identities.setdefault(name, {})[len(self)] = self._shared(value)
        self._names.append(f"{self._shown[number]}/{sample.image.name}")
        self._numbers.append(number)
        self._offsets.append(sample.image.offset)
        self._sizes.append(sample.image.size)
        self._codes.append(self.labels.setdefault(sample.facts.label, len(self.labels)))
        self._groups.append(self._shared(sample.facts.group))

    def _ignore(self, number: int, file: Ignored) -> None:
        self._ignored_count += 1
        if len(self._ignored) < MAX_LISTED:
            self._ignored.append(f"{self._shown[number]}/{file.name}")

    def _shared(self, text: str) -> str:
        """One object for all equal texts."""
        return self._texts.setdefault(text, text)


def index_shards(source: str, *, progress: Progress = no_progress) -> ShardIndex:
    """What the shards of a source contain, without decoding the images. Raises: DataError, also if they have none."""
    shards = shard_paths(source)
    index = ShardIndex(shards)
    for number in range(len(shards)):
        index.add(number)
        progress("indexing shards", number + 1, len(shards))
    if not len(index):
        raise DataError(f"data {source}: contains no image; name the files of a sample KEY.jpg and KEY.cls")
    return index
