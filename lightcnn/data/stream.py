"""Prepares images for a network one by one, on all cores, with a limited number in memory. No torch."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.files.decode import decode, reduce_pixels
from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.files.walk import Skipped
from lightcnn.errors import DataError

Item = TypeVar("Item", bound=Path | Skipped | NDArray[np.uint8])
Pixels = TypeVar("Pixels")


@dataclass(frozen=True, eq=False)
class PreparedImage(Generic[Pixels]):
    """The pixels of an image, prepared for a network, and what the image was before.

    `shorter_side` is that of the decoded image in pixels, which has at most `SHORTER_SIDE`. `conversion` is what was
    done to the values of the file.
    """

    pixels: Pixels
    channels: int
    shorter_side: int
    conversion: Conversion


def prepare_stream(
    items: Iterable[Item],
    prepare: Callable[[NDArray[np.uint8]], Pixels],
    scale: IntensityScale | None,
    *,
    ahead: int,
    on_conversion: Callable[[Conversion], object] = lambda _: None,
) -> Iterator[tuple[Item, PreparedImage[Pixels] | str]]:
    """Yields each item in order, prepared for the network, or with its fault.

    Items are paths, skipped images, or uint8 arrays (H, W, C), which are treated like files with these pixels.
    `prepare` makes the pixels for the network of a decoded image (H, W, 1 or 3), and `scale` is that of files with more
    than 8 bits. At most `ahead` images are in memory, or as many as there are cores if that is more. `on_conversion` is
    called with what was done to the values of each file.
    """
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Item, Future[PreparedImage[Pixels] | str]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about damaged EXIF and bombs; what matters is an error here
            for item in items:
                waiting.append((item, pool.submit(_pixels, item, prepare, scale)))
                if len(waiting) >= max(ahead, workers):
                    yield _first(waiting, on_conversion)
            while waiting:
                yield _first(waiting, on_conversion)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(
    waiting: deque[tuple[Item, Future[PreparedImage[Pixels] | str]]], on_conversion: Callable[[Conversion], object]
) -> tuple[Item, PreparedImage[Pixels] | str]:
    item, future = waiting.popleft()
    result = future.result()
    if isinstance(result, PreparedImage):
        on_conversion(result.conversion)
    return item, result


def _pixels(
    item: Path | Skipped | NDArray[np.uint8],
    prepare: Callable[[NDArray[np.uint8]], Pixels],
    scale: IntensityScale | None,
) -> PreparedImage[Pixels] | str:
    """The prepared image of an item, or its fault."""
    if isinstance(item, Skipped):
        return item.reason
    try:
        if isinstance(item, Path):
            if item.exists() and not item.is_file():
                return "is not a file"
            decoded = decode(item, scale)
            return prepared_image(decoded.pixels, prepare, decoded.conversion)
        return prepared_image(reduce_pixels(item), prepare, Conversion())
    except DataError as error:
        return str(error)
    except OSError as error:  # the name is too long, or the folder not accessible
        return f"cannot be read ({error.strerror})"
    except MemoryError:
        return "needs more memory than is available"


def prepared_image(
    image: NDArray[np.uint8], prepare: Callable[[NDArray[np.uint8]], Pixels], conversion: Conversion
) -> PreparedImage[Pixels]:
    """A decoded image (H, W, 1 or 3), prepared for a network."""
    return PreparedImage(prepare(image), image.shape[2], min(image.shape[:2]), conversion)
