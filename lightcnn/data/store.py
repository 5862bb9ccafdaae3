"""Prepared images, ready for a network: in memory, in a file that is mapped into it, or prepared when asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.cache import cache_folder
from lightcnn.data.images import Store
from lightcnn.data.preprocess import prepare, resize
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Preparation

MEMORY_BYTES = 1_000_000_000
"""Prepared images of one size that stay in memory, at most; more go into a file on disk."""
DISK_BYTES = 40_000_000_000
"""Of all such files, at most, and of one half of what is free on its disk; what is more is prepared when asked for."""
CHUNK = 64


class Streamed:
    """Images of a dataset, prepared on all cores whenever they are asked for."""

    device = torch.device("cpu")

    def __init__(self, dataset: Dataset, rule: Preparation, size: int) -> None:
        self._dataset = dataset
        self._rule = rule
        self._size = size
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self.shape = torch.Size((len(dataset), dataset.channels, size, size))

    def __getitem__(self, rows: Tensor) -> Tensor:
        """uint8 (rows, C, size, size)."""
        prepared = self._pool.map(lambda row: prepare(self._dataset.images[row], self._rule, self._size), rows.tolist())
        return torch.stack(list(prepared))


def store(
    dataset: Dataset, rule: Preparation, size: int, device: torch.device, progress: Progress = no_progress
) -> Store:
    """All images of a dataset as networks of that input size see them, where there is room for them."""
    count = len(dataset) * dataset.channels * size * size
    if count <= MEMORY_BYTES:
        return _filled(dataset, rule, size, lambda shape: np.empty(shape, dtype=np.uint8), progress).to(device)
    folder = cache_folder("images")
    with suppress(OSError):  # a cache that cannot be used is none: it only costs time
        if count <= min(DISK_BYTES, _free(folder) // 2):
            return _mapped(folder, dataset, rule, size, progress)
    return Streamed(dataset, rule, size)


def _mapped(folder: Path, dataset: Dataset, rule: Preparation, size: int, progress: Progress) -> Tensor:
    """The prepared images in a file that is named by what is in it; made by one process, whole or not at all.

    Raises: OSError where the folder cannot be written.
    """
    key = repr((dataset.fingerprint, sorted(rule.model_dump().items()), size, 1))
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            _make_room(folder, len(dataset) * dataset.channels * size * size)
            making = path.with_suffix(".making")
            _filled(
                dataset,
                rule,
                size,
                lambda shape: np.lib.format.open_memmap(making, mode="w+", dtype=np.uint8, shape=shape),
                progress,
            )
            making.replace(path)
        os.utime(path)
    # Copy on write: a tensor must be writable, the file stays as it is.
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="c"))


def _make_room(folder: Path, size: int) -> None:
    """Removes the files that were not used for longest until one of `size` bytes fits beside the others.

    A file that another process has mapped stays readable to it.
    """
    held = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
    room = DISK_BYTES - size - sum(file.stat().st_size for file in held)
    for file in held:
        if room >= 0:
            return
        room += file.stat().st_size
        file.unlink()


def _filled(
    dataset: Dataset,
    rule: Preparation,
    size: int,
    empty: Callable[[tuple[int, ...]], NDArray[np.uint8]],
    progress: Progress,
) -> Tensor:
    """Every image prepared, into the array that `empty` makes of a shape."""
    out = empty((len(dataset), dataset.channels, size, size))
    done = 0
    for chunk in _prepared(dataset, rule, size):
        out[done : done + len(chunk)] = chunk
        done += len(chunk)
        progress("preparing images", done, len(dataset))
    return torch.from_numpy(out)


def _prepared(dataset: Dataset, rule: Preparation, size: int) -> Iterator[NDArray[np.uint8]]:
    """Chunks (n, C, size, size) in order."""
    starts = range(0, len(dataset), CHUNK)
    if isinstance(dataset.images, np.ndarray) and rule == Preparation():
        for start in starts:
            yield resize(dataset.images[start : start + CHUNK], size).numpy()
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in starts:
            rows = range(start, min(start + CHUNK, len(dataset)))
            yield torch.stack(list(pool.map(lambda row: prepare(dataset.images[row], rule, size), rows))).numpy()


def _free(folder: Path) -> int:
    """Bytes that are free on the disk of a folder that may not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
