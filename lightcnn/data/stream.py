"""Images prepared for a network as they come, on all cores, a bounded number of them ahead."""

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


def prepare_stream(items: Iterable[Item], rule: Preprocess, *, ahead: int) -> Iterator[tuple[Item, Tensor | str]]:
    """Each item in its order, with its pixels uint8 (C, size, size) or with what is wrong with it.

    Items are paths, uint8 arrays (H, W, C), which are treated as files with these pixels, and skipped ones. At most
    `ahead` of them are held in memory, and never fewer than there are cores.
    """
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Item, Future[Tensor | str]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on damaged EXIF and bombs: what matters is an error here
            for item in items:
                waiting.append((item, pool.submit(_pixels, item, rule)))
                if len(waiting) >= max(ahead, workers):
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(waiting: deque[tuple[Item, Future[Tensor | str]]]) -> tuple[Item, Tensor | str]:
    item, future = waiting.popleft()
    return item, future.result()


def _pixels(item: Path | Skipped | NDArray[np.uint8], rule: Preprocess) -> Tensor | str:
    if isinstance(item, Skipped):
        return item.reason
    try:
        if isinstance(item, Path):
            if item.exists() and not item.is_file():
                return "is no file"
            return network_pixels(decode(item).pixels, rule)
        return network_pixels(reduce_pixels(item), rule)
    except DataError as error:
        return str(error)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        return f"cannot be read ({error.strerror})"
    except MemoryError:
        return "needs more memory than there is"
