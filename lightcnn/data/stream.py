"""Prepares images for a network one by one, on all cores, with a limited number in memory."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
_Result = tuple[Tensor, Conversion] | str


def prepare_stream(
    items: Iterable[Item],
    preprocess: Preprocess,
    *,
    ahead: int,
    on_conversion: Callable[[Conversion], object] = lambda _: None,
) -> Iterator[tuple[Item, Tensor | str]]:
    """Yields each item in order, with its pixels uint8 (C, size, size) or with its fault.

    Items are paths, skipped images, or uint8 arrays (H, W, C), which are treated like files with these pixels. At most
    `ahead` images are in memory, or as many as there are cores if that is more. `on_conversion` is called with what was
    done to the values of each file.
    """
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Item, Future[_Result]]] = deque()
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
    waiting: deque[tuple[Item, Future[_Result]]], on_conversion: Callable[[Conversion], object]
) -> tuple[Item, Tensor | str]:
    item, future = waiting.popleft()
    result = future.result()
    if isinstance(result, str):
        return item, result
    pixels, conversion = result
    on_conversion(conversion)
    return item, pixels


def _pixels(item: Path | Skipped | NDArray[np.uint8], preprocess: Preprocess) -> _Result:
    """The pixels of an item, uint8 (C, size, size), and what was done to its values; or its fault."""
    if isinstance(item, Skipped):
        return item.reason
    try:
        if isinstance(item, Path):
            if item.exists() and not item.is_file():
                return "is not a file"
            decoded = decode(item, preprocess.scale)
            return network_pixels(decoded.pixels, preprocess), decoded.conversion
        return network_pixels(reduce_pixels(item), preprocess), Conversion()
    except DataError as error:
        return str(error)
    except OSError as error:  # the name is too long, or the folder not accessible
        return f"cannot be read ({error.strerror})"
    except MemoryError:
        return "needs more memory than is available"
