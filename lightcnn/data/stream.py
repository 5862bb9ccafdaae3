"""Prepares images for a network one by one, on all cores, with a limited number in memory."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.files.decode import decode, reduce_pixels
from lightcnn.data.files.walk import Skipped
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import network_pixels
from lightcnn.errors import DataError

Item = TypeVar("Item", bound=Path | Skipped | NDArray[np.uint8])


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """The pixels of an image for a network, uint8 (C, size, size), and what the image was before.

    `shorter_side` is that of the decoded image in pixels, which has at most `SHORTER_SIDE`. `conversion` is what was
    done to the values of the file.
    """

    pixels: Tensor
    channels: int
    shorter_side: int
    conversion: Conversion


def prepare_stream(
    items: Iterable[Item],
    preprocess: Preprocess,
    *,
    ahead: int,
    on_conversion: Callable[[Conversion], object] = lambda _: None,
) -> Iterator[tuple[Item, PreparedImage | str]]:
    """Yields each item in order, prepared for the network, or with its fault.

    Items are paths, skipped images, or uint8 arrays (H, W, C), which are treated like files with these pixels. At most
    `ahead` images are in memory, or as many as there are cores if that is more. `on_conversion` is called with what was
    done to the values of each file.
    """
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Item, Future[PreparedImage | str]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about damaged EXIF and bombs; what matters is an error here
            for item in items:
                waiting.append((item, pool.submit(_pixels, item, preprocess)))
                if len(waiting) >= max(ahead, workers):
                    yield _first(waiting, on_conversion)
            while waiting:
                yield _first(waiting, on_conversion)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(
    waiting: deque[tuple[Item, Future[PreparedImage | str]]], on_conversion: Callable[[Conversion], object]
) -> tuple[Item, PreparedImage | str]:
    item, future = waiting.popleft()
    result = future.result()
    if isinstance(result, PreparedImage):
        on_conversion(result.conversion)
    return item, result


def _pixels(item: Path | Skipped | NDArray[np.uint8], preprocess: Preprocess) -> PreparedImage | str:
    """The prepared image of an item, or its fault."""
    if isinstance(item, Skipped):
        return item.reason
    try:
        if isinstance(item, Path):
            if item.exists() and not item.is_file():
                return "is not a file"
            decoded = decode(item, preprocess.scale)
            return _prepared(decoded.pixels, preprocess, decoded.conversion)
        return _prepared(reduce_pixels(item), preprocess, Conversion())
    except DataError as error:
        return str(error)
    except OSError as error:  # the name is too long, or the folder not accessible
        return f"cannot be read ({error.strerror})"
    except MemoryError:
        return "needs more memory than is available"


def _prepared(image: NDArray[np.uint8], preprocess: Preprocess, conversion: Conversion) -> PreparedImage:
    return PreparedImage(network_pixels(image, preprocess), image.shape[2], min(image.shape[:2]), conversion)
