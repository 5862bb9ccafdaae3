"""Images prepared for a network: in memory, in a memory-mapped file, or prepared again whenever they are read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.cache import cache_folder
from lightcnn.data.images import Store
from lightcnn.data.tensors import prepare, resize
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Preparation
from lightcnn.run_files import temporary_name, tidy_abandoned

MEMORY_BYTES = 1_000_000_000
"""Most bytes of prepared images of one size that stay in memory; more are written to a file."""
DISK_BYTES = 40_000_000_000
"""Most bytes of all such files, and at most half of the free disk space; more images are prepared whenever read."""
CHUNK = 64
"""Images that are prepared and written at once."""


class StreamedImages:
    """Images of a dataset, prepared on all cores whenever they are read."""

    device = torch.device("cpu")

    def __init__(self, dataset: Dataset, preparation: Preparation, size: int) -> None:
        self._dataset = dataset
        self._preparation = preparation
        self._size = size
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self.shape = torch.Size((len(dataset), dataset.channels, size, size))

    def __getitem__(self, rows: Tensor) -> Tensor:
        """uint8 (rows, C, size, size)."""
        prepared = self._pool.map(
            lambda row: prepare(self._dataset.images[row], self._preparation, self._size), rows.tolist()
        )
        return torch.stack(list(prepared))


def make_store(
    dataset: Dataset, preparation: Preparation, size: int, device: torch.device, progress: Progress = no_progress
) -> Store:
    """All images of a dataset for networks of that input size, in memory, on disk or neither, as space allows."""
    count = len(dataset) * dataset.channels * size * size
    if count <= MEMORY_BYTES:
        return _filled(dataset, preparation, size, lambda shape: np.empty(shape, dtype=np.uint8), progress).to(device)
    folder = cache_folder("images")
    with suppress(OSError):  # without a usable cache, preparing takes longer
        if count <= min(DISK_BYTES, _free(folder) // 2):
            return open_images(_mapped(folder, dataset, preparation, size, progress))
    return StreamedImages(dataset, preparation, size)


def shared_images(
    dataset: Dataset, preparation: Preparation, size: int, progress: Progress = no_progress
) -> Path | None:
    """The file of all images for networks of that input size, which several processes can open; None without space."""
    count = len(dataset) * dataset.channels * size * size
    folder = cache_folder("images")
    with suppress(OSError):
        path = _path(folder, dataset, preparation, size)
        if path.is_file() or count <= min(DISK_BYTES, _free(folder) // 2):
            return _mapped(folder, dataset, preparation, size, progress)
    return None


def open_images(path: Path) -> Tensor:
    """The prepared images (N, C, H, W) in a file, mapped into memory."""
    # Copy on write: a tensor must be writable, and the file must not change.
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="c"))


def _mapped(folder: Path, dataset: Dataset, preparation: Preparation, size: int, progress: Progress) -> Path:
    """The prepared images in a file named by a hash of its content; one process writes it, atomically.

    Raises: OSError if the folder is not writable.
    """
    path = _path(folder, dataset, preparation, size)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            _make_room(folder, len(dataset) * dataset.channels * size * size)
            _write(path, dataset, preparation, size, progress)
        os.utime(path)
    return path


def _path(folder: Path, dataset: Dataset, preparation: Preparation, size: int) -> Path:
    """The file for the images, whose name is a hash of everything that decides about its content."""
    scale = json.dumps(asdict(dataset.scale), separators=(",", ":")) if dataset.scale else ""
    key = repr((dataset.fingerprint, scale, sorted(preparation.model_dump().items()), size, 2))
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.npy"


def _write(path: Path, dataset: Dataset, preparation: Preparation, size: int, progress: Progress) -> None:
    """Writes the prepared images under a temporary name, which is then renamed."""
    tidy_abandoned(path.parent)
    partial = temporary_name(path)

    def mapped(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        return np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)

    try:
        _filled(dataset, preparation, size, mapped, progress)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _make_room(folder: Path, size: int) -> None:
    """Removes the least recently used files until a file of `size` bytes fits next to the others.

    Another process can still read a file that it has mapped.
    """
    files = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
    room = DISK_BYTES - size - sum(file.stat().st_size for file in files)
    for file in files:
        if room >= 0:
            return
        room += file.stat().st_size
        file.unlink()


def _filled(
    dataset: Dataset,
    preparation: Preparation,
    size: int,
    empty: Callable[[tuple[int, ...]], NDArray[np.uint8]],
    progress: Progress,
) -> Tensor:
    """All images prepared, (N, C, size, size), in the array that `empty` creates for that shape."""
    out = empty((len(dataset), dataset.channels, size, size))
    count = 0
    for chunk in _chunks(dataset, preparation, size):
        out[count : count + len(chunk)] = chunk
        count += len(chunk)
        progress("preparing images", count, len(dataset))
    return torch.from_numpy(out)


def _chunks(dataset: Dataset, preparation: Preparation, size: int) -> Iterator[NDArray[np.uint8]]:
    """The prepared images in order, in chunks (n, C, size, size)."""
    starts = range(0, len(dataset), CHUNK)
    if isinstance(dataset.images, np.ndarray) and preparation == Preparation():
        for start in starts:
            yield resize(dataset.images[start : start + CHUNK], size).numpy()
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in starts:
            rows = range(start, min(start + CHUNK, len(dataset)))
            yield torch.stack(list(pool.map(lambda row: prepare(dataset.images[row], preparation, size), rows))).numpy()


def _free(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
