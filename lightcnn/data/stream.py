"""Prepares images for a network one by one, on all cores, with a limited number in memory."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.files.decode import decode, reduce_pixels
from lightcnn.data.files.walk import Skipped
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import network_pixels
from lightcnn.errors import DataError

Item = TypeVar("Item", bound=Path | Skipped | NDArray[np.uint8])


def prepare_stream(items: Iterable[Item], preprocess: Preprocess, *, ahead: int) -> Iterator[tuple[Item, Tensor | str]]:
    """Yields each item in order, with its pixels uint8 (C, size, size) or with its fault.

    Items are paths, skipped images, or uint8 arrays (H, W, C), which are treated like files with these pixels. At most
    `ahead` images are in memory, or as many as there are cores if that is more.
    """
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Item, Future[Tensor | str]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about damaged EXIF and bombs; what matters is an error here
            for item in items:
                waiting.append((item, pool.submit(_pixels, item, preprocess)))
                if len(waiting) >= max(ahead, workers):
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(waiting: deque[tuple[Item, Future[Tensor | str]]]) -> tuple[Item, Tensor | str]:
    item, future = waiting.popleft()
    return item, future.result()


def _pixels(item: Path | Skipped | NDArray[np.uint8], preprocess: Preprocess) -> Tensor | str:
    """The pixels of an item, uint8 (C, size, size), or its fault."""
    if isinstance(item, Skipped):
        return item.reason
    try:
        if isinstance(item, Path):
            if item.exists() and not item.is_file():
                return "is not a file"
            return network_pixels(decode(item).pixels, preprocess)
        return network_pixels(reduce_pixels(item), preprocess)
    except DataError as error:
        return str(error)
    except OSError as error:  # the name is too long, or the folder not accessible
        return f"cannot be read ({error.strerror})"
    except MemoryError:
        return "needs more memory than is available"
