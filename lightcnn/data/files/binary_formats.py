"""The binary formats of published data sets: IDX (MNIST and Fashion-MNIST) and CIFAR-10's."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import DataError

MAX_BYTES = 2_000_000_000
CIFAR_SHAPE = (3, 32, 32)
CIFAR_RECORD = 1 + 3 * 32 * 32


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped or not: labels (N,) or images (N, H, W).

    The format (LeCun, Cortes and Burges, "The MNIST database"): two zero bytes, 8 for unsigned bytes, the number of
    dimensions, the size of each as a big-endian 32-bit number, then the bytes. Raises: DataError.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
            if zeros or kind != 8 or dimensions not in (1, 3):
                raise DataError(
                    f"data {path}: not an IDX file of bytes (it starts with other numbers); download it again"
                )
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            count = int(np.prod(shape, dtype=object))
            if not 0 < count <= MAX_BYTES:
                raise DataError(
                    f"data {path}: its header gives the shape {shape}, which image data cannot have; download it again"
                )
            content = file.read(count + 1)  # one byte more, to detect trailing bytes without unpacking a bomb
    except (gzip.BadGzipFile, zlib.error, EOFError, struct.error) as error:
        raise DataError(f"data {path}: damaged ({error or 'it ends too early'}); download it again") from None
    if len(content) != count:
        size = "more than" if len(content) > count else f"{len(content):,} of"
        raise DataError(f"data {path}: contains {size} the {count:,} bytes that its header states; download it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_labelled_idx(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, H, W) and labels (N,) of two IDX files. Raises: DataError."""
    pixels, numbers = read_idx(images), read_idx(labels)
    for path, array, dimensions in ((images, pixels, 3), (labels, numbers, 1)):
        if array.ndim != dimensions:
            raise DataError(f"data {path}: has {array.ndim} dimensions, not {dimensions}; download it again")
    if len(pixels) != len(numbers):
        raise DataError(
            f"data {images}: {len(pixels):,} images for {len(numbers):,} labels in {labels}; download both again"
        )
    return pixels, numbers.astype(np.int64)


def read_cifar(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One file of CIFAR-10's binary version: images (N, 32, 32, 3), labels (N,). Raises: DataError."""
    size = path.stat().st_size
    if size == 0 or size % CIFAR_RECORD or size > MAX_BYTES:
        raise DataError(f"data {path}: {size:,} bytes, which is not a multiple of {CIFAR_RECORD:,}; download it again")
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, CIFAR_RECORD)
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)
