"""Images in files that have all been read once, with the facts about each file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.files.decode import Decoded, ImageSource, decode
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.preparation.steps import as_channels
from lightcnn.errors import DataError

FACTS = np.dtype([
    ("pixel_hash", "S64"), ("size", np.int32, 2), ("shape", np.int32, 3), ("one_colour", np.bool_), ("kind", np.uint32),
])  # fmt: skip
"""What is kept of each file: 89 bytes. `size` is width and height in the file, `shape` that of the pixels."""


class FileList(Protocol):
    """N image files, of which each is made when it is read; `names` (N,) are those in messages."""

    @property
    def names(self) -> tuple[str, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> ImageSource: ...
    def chosen(self, positions: NDArray[np.int64], /) -> FileList: ...


@dataclass(frozen=True)
class FolderFiles:
    """Files below a folder, by their names relative to it."""

    root: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Path:
        return self.root / self.names[index]

    def chosen(self, positions: NDArray[np.int64]) -> FolderFiles:
        """The files at these positions."""
        return FolderFiles(self.root, tuple(self.names[position] for position in positions.tolist()))


@dataclass(frozen=True)
class FileFacts:
    """Facts about a file that was read: its size, format and Pillow mode, and hash and shape of the decoded pixels.

    `one_colour`: all pixels are equal. `conversion` is what was done to the values of the file.
    """

    format: str
    mode: str
    width: int
    height: int
    digest: str
    shape: tuple[int, int, int]
    one_colour: bool = False
    conversion: Conversion = field(default_factory=Conversion)


class FileKind(NamedTuple):
    """What many files have in common."""

    format: str
    mode: str
    conversion: Conversion


class FileTable:
    """Facts about N files in one array: an object for each file needs ten times as much memory."""

    def __init__(self, count: int) -> None:
        self._rows = np.zeros(count, dtype=FACTS)
        self._kinds: list[FileKind] = []
        self._numbers: dict[FileKind, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int, facts: FileFacts) -> None:
        """Writes the facts about a file, also over earlier ones."""
        kind = FileKind(facts.format, facts.mode, facts.conversion)
        number = self._numbers.setdefault(kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(kind)
        size = (facts.width, facts.height)
        self._rows[index] = (facts.digest, size, facts.shape, facts.one_colour, number)

    def chosen(self, positions: NDArray[np.int64]) -> FileTable:
        """The facts about the files at these positions."""
        table = FileTable(0)
        table._rows, table._kinds, table._numbers = self._rows[positions], self._kinds, self._numbers
        return table

    @property
    def pixel_hashes(self) -> NDArray[np.bytes_]:
        """SHA-256 of the pixels of every file in hexadecimal digits, (N,)."""
        return self._rows["pixel_hash"]

    @property
    def sizes(self) -> NDArray[np.int32]:
        """Width and height of every image as stored in its file, before it is reduced on decoding, (N, 2)."""
        return self._rows["size"]

    @property
    def shapes(self) -> NDArray[np.int32]:
        """Height, width and channels of the decoded pixels, (N, 3)."""
        return self._rows["shape"]

    @property
    def one_colour(self) -> NDArray[np.bool_]:
        """Whether all pixels of a file are equal, (N,)."""
        return self._rows["one_colour"]

    def kinds(self) -> list[tuple[FileKind, int]]:
        """The kinds of files in the order of their first files, each with the number of its files."""
        counts = np.bincount(self._rows["kind"], minlength=len(self._kinds))
        return [(kind, int(count)) for kind, count in zip(self._kinds, counts, strict=True) if count]

    def conversions(self, indices: NDArray[np.int64] | None = None) -> Iterator[Conversion]:
        """What was done to the values of every file, or of those at `indices`."""
        numbers = self._rows["kind"] if indices is None else self._rows["kind"][indices]
        return (self._kinds[number].conversion for number in numbers)


class ImageFiles(Sequence[NDArray[np.uint8]]):
    """Images in files, which have all been read once; those that are not kept in memory are decoded again on access.

    `scale` is that of the files with more than 8 bits per channel; None for the rule of runs that have none.
    """

    def __init__(
        self,
        files: FileList,
        facts: FileTable,
        kept: Sequence[NDArray[np.uint8] | None],
        channels: Literal[1, 3],
        scale: IntensityScale | None = OWN_SCALE,
    ) -> None:
        self.files = files
        self.facts = facts
        self.channels = channels
        self.scale = scale
        self._kept = tuple(kept)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        """uint8 (H, W, channels). Raises: DataError if the file cannot be read any more."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        pixels = self._kept[index]
        if pixels is None:
            pixels = self._decoded(index)
        return as_channels(pixels, self.channels)

    def with_scale(self, scale: IntensityScale | None) -> ImageFiles:
        """The same images on another scale. Facts and hashes stay: they are about the data as they were read."""
        if scale == self.scale:
            return self
        pairs = zip(self.facts.conversions(), self._kept, strict=True)
        kept = [None if conversion.number else pixels for conversion, pixels in pairs]
        return ImageFiles(self.files, self.facts, kept, self.channels, scale)

    def scaled_to(self, training: NDArray[np.int64]) -> ImageFiles:
        """The same images on the scale of those at the indices `training`."""
        return self.with_scale(scale_of(self.facts.conversions(training)))

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        try:
            return decode(self.files[index], self.scale).pixels
        except DataError as error:
            raise DataError(
                f"data {self.files.names[index]} {error}, and could be read before; put the file back and start again"
            ) from None


def scale_of(conversions: Iterable[Conversion]) -> IntensityScale:
    """The scale of intensities that covers files with these conversions."""
    return IntensityScale.covering((each.number, each.largest) for each in conversions if each.number)


def file_facts(decoded: Decoded) -> FileFacts:
    """The facts about a decoded file that are kept with its pixels."""
    pixels = decoded.pixels
    height, width, channels = pixels.shape
    return FileFacts(
        decoded.format, decoded.mode, decoded.width, decoded.height, pixel_hash(pixels),
        (height, width, channels), is_one_colour(pixels), decoded.conversion,
    )  # fmt: skip


def is_one_colour(pixels: NDArray[np.uint8]) -> bool:
    """Whether all pixels (H, W, C) are equal."""
    return bool((pixels == pixels[:1, :1]).all())


def pixel_hash(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of shape and pixels (H, W, C); an image with three equal channels has the hash of the grey image."""
    if pixels.shape[2] == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        pixels = pixels[..., :1]
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
