"""Images in files that have all been read once, with the facts about each file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.files.decode import Decoded, decode
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.preparation.steps import as_channels


@dataclass(frozen=True)
class FileFacts:
    """Facts about a file that was read: its size, format and Pillow mode, and hash and shape of the decoded pixels.

    `one_colour`: all pixels are equal. `conversion` is what was done to the values of the file.
    """

    path: Path
    format: str
    mode: str
    width: int
    height: int
    digest: str
    shape: tuple[int, int, int]
    one_colour: bool = False
    conversion: Conversion = field(default_factory=Conversion)


class ImageFiles(Sequence[NDArray[np.uint8]]):
    """Images in files, which have all been read once; those that are not kept in memory are decoded again on access.

    `scale` is that of the files with more than 8 bits per channel; None for the rule of runs that have none.
    """

    def __init__(
        self,
        files: Sequence[FileFacts],
        kept: Sequence[NDArray[np.uint8] | None],
        channels: Literal[1, 3],
        scale: IntensityScale | None = OWN_SCALE,
    ) -> None:
        self.files = tuple(files)
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
        """uint8 (H, W, channels)."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        pixels = self._kept[index]
        if pixels is None:
            pixels = decode(self.files[index].path, self.scale).pixels
        return as_channels(pixels, self.channels)

    def with_scale(self, scale: IntensityScale | None) -> ImageFiles:
        """The same images on another scale. Facts and hashes stay: they are about the data as they were read."""
        if scale == self.scale:
            return self
        kept = [None if file.conversion.number else pixels for file, pixels in zip(self.files, self._kept, strict=True)]
        return ImageFiles(self.files, kept, self.channels, scale)

    def scaled_to(self, training: Iterable[int]) -> ImageFiles:
        """The same images on the scale of those at the indices `training`."""
        return self.with_scale(scale_of(self.files[index] for index in training))


def scale_of(files: Iterable[FileFacts]) -> IntensityScale:
    """The scale of intensities that covers these files."""
    conversions = (file.conversion for file in files)
    return IntensityScale.covering((each.number, each.largest) for each in conversions if each.number)


def file_facts(path: Path, decoded: Decoded) -> FileFacts:
    """The facts about a decoded file that are kept with its pixels."""
    pixels = decoded.pixels
    height, width, channels = pixels.shape
    return FileFacts(
        path, decoded.format, decoded.mode, decoded.width, decoded.height, pixel_hash(pixels),
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
