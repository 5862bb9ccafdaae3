"""Features of all images, in temporary files if they are many, and read in blocks."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.cache import cache_folder
from lightcnn.errors import DataError

SPOOLED_BYTES = 300_000_000
"""Features that stay in memory instead of a file: those of about 5,000 images."""


@dataclass(frozen=True)
class Features:
    """K keypoints of N images.

    `points` (K, 4) are position (x, y) and size in pixels and angle in degrees, `descriptors` (K, 128), `owners` (K,)
    the image that each belongs to, ascending. `thumbnails` are N small images (H, W) without shading.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    owners: NDArray[np.int32]
    thumbnails: Sequence[NDArray[np.float16]]


class FeatureFile:
    """Features of images, written once in order. In memory are 12 bytes per image, and SPOOLED_BYTES of features.

    The files have no name, so that they vanish with the process. They are in the cache, since the system's folder for
    temporary files may itself be in memory.
    """

    def __init__(self) -> None:
        self._points, self._descriptors, self._thumbnails = (_spooled_file() for _ in range(3))
        self._counts, self._heights, self._widths = array("q"), array("H"), array("H")
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for file in (self._points, self._descriptors, self._thumbnails):
            file.close()

    def __len__(self) -> int:
        return len(self._counts)

    def append(
        self, points: NDArray[np.float32], descriptors: NDArray[np.uint8], thumbnail: NDArray[np.float16]
    ) -> None:
        """Writes keypoints (K, 4), descriptors (K, 128) and thumbnail (H, W) of the next image. Raises: DataError."""
        try:
            self._points.write(np.ascontiguousarray(points).data)
            self._descriptors.write(np.ascontiguousarray(descriptors).data)
            self._thumbnails.write(np.ascontiguousarray(thumbnail).data)
        except OSError as error:
            raise DataError(
                f"near duplicates: features of image {len(self) + 1:,} cannot be written to the cache "
                f"({error.strerror}); make room for 50 kB per image, set LIGHTCNN_CACHE to another disk, or use --fast"
            ) from None
        self._counts.append(len(points))
        self._heights.append(thumbnail.shape[0])
        self._widths.append(thumbnail.shape[1])

    def read(self, *blocks: range) -> Features:
        """The features of the images of these blocks, joined: `owners` counts them from 0."""
        counts = np.array(self._counts, dtype=np.int64)
        first = np.concatenate([[0], np.cumsum(counts)])
        places = [(int(first[block.start]), int(first[block.stop])) for block in blocks]
        images = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        return Features(
            self._joined(self._points, places, np.zeros((0, 4), np.float32)),
            self._joined(self._descriptors, places, np.zeros((0, 128), np.uint8)),
            np.repeat(np.arange(len(images), dtype=np.int32), counts[images]),
            _Thumbnails(self, images),
        )

    def thumbnail(self, image: int, start: int) -> NDArray[np.float16]:
        """The thumbnail (H, W) of an image, whose values begin at `start`."""
        shape = self._heights[image], self._widths[image]
        with self._lock:
            self._thumbnails.seek(2 * start)
            content = self._thumbnails.read(2 * shape[0] * shape[1])
        return np.frombuffer(content, dtype=np.float16).reshape(shape)

    def thumbnail_starts(self) -> NDArray[np.int64]:
        """Where the values of every image's thumbnail begin, (N,)."""
        sizes = np.array(self._heights, dtype=np.int64) * np.array(self._widths, dtype=np.int64)
        return np.cumsum(sizes) - sizes

    def _joined(
        self, file: SpooledTemporaryFile[bytes], places: Sequence[tuple[int, int]], like: NDArray[Any]
    ) -> NDArray[Any]:
        """The rows of a file at these places, in an array with the columns of `like`."""
        joined = np.empty((sum(end - start for start, end in places), like.shape[1]), dtype=like.dtype)
        filled = 0
        with self._lock:
            for start, end in places:
                file.seek(start * like.shape[1] * like.itemsize)
                rows = joined[filled : filled + end - start]
                file.readinto(rows.reshape(-1).view(np.uint8).data)
                filled += end - start
        return joined


class _Thumbnails(Sequence[NDArray[np.float16]]):
    """Thumbnails of some images of a file, each read when it is used: few pairs get that far."""

    def __init__(self, features: FeatureFile, images: NDArray[np.int64]) -> None:
        self._features = features
        self._images = images
        self._starts = features.thumbnail_starts()[images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        return self._features.thumbnail(int(self._images[index]), int(self._starts[index]))


def _spooled_file() -> SpooledTemporaryFile[bytes]:
    """A file without a name in the cache, or in the system's folder for temporary files if that is not writable."""
    folder = cache_folder("groups")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return SpooledTemporaryFile(SPOOLED_BYTES // 3, dir=str(folder) if os.access(folder, os.W_OK) else None)
