"""Loads a SOURCE, as users write it, as a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightcnn.data.dataset import Dataset
from lightcnn.data.positive_class import with_positive
from lightcnn.data.shards.shard_names import names_shards
from lightcnn.data.sources.arrays import are_given, given_arrays
from lightcnn.data.sources.folder import read_folder
from lightcnn.data.sources.manifest import read_manifest
from lightcnn.data.sources.mpox import mpox2022, mpox2025
from lightcnn.data.sources.npz import read_npz
from lightcnn.data.sources.published import cifar10, digits, fashion_mnist
from lightcnn.data.sources.shards import read_shards
from lightcnn.data.sources.synthetic import options_of, synthetic_lesions
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import ARRAYS, Reading
from lightcnn.text import NOT_UTF8, is_utf8, nearest

LOADERS: dict[str, Callable[[str, Reading, Progress], Dataset]] = {
    "digits": digits,
    "synthetic-lesions": synthetic_lesions,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "mpox2025": mpox2025,
    "mpox2022": mpox2022,
}
DATASET_NAMES = tuple(LOADERS)
OTHER_SOURCES = "a folder of class folders, a .csv, .tar shards or a .npz"
OUTLINES = {"digits": (1, 10, 8), "fashion-mnist": (1, 10, 28), "cifar10": (3, 10, 32)}
"""Channels, classes and image size in pixels of the data sets for which they are known."""


def load(source: str, reading: Reading | None = None, *, progress: Progress = no_progress) -> Dataset:
    """Loads a source: a named data set, a folder of class folders, a .csv manifest, tar shards, or a .npz.

    `arrays` are those that are given in Python, or else a folder of that name.

    Of two classes, `reading.positive` is the second. Raises: DataError in one line that names the file, the rule and
    the remedy; DataMissing if a named data set is not on this machine and cannot be downloaded.
    """
    reading = reading or Reading()
    return with_positive(_load(source, reading, progress), reading.positive)


def _load(source: str, reading: Reading, progress: Progress) -> Dataset:
    path = Path(source)
    if not is_utf8(source):
        raise DataError(f"data {source!r} {NOT_UTF8}")
    if source == ARRAYS and (are_given() or not path.exists()):
        return given_arrays()
    try:
        if name := _named(source):
            return LOADERS[name](source, reading, progress)
        if path.suffix.lower() == ".npz":
            return read_npz(path)
        if path.suffix.lower() == ".csv":
            return read_manifest(path, skip_corrupt=reading.skip_corrupt, progress=progress)
        if names_shards(source):
            return read_shards(source, skip_corrupt=reading.skip_corrupt, progress=progress)
        if path.is_dir():
            return read_folder(path, skip_corrupt=reading.skip_corrupt, progress=progress)
        if path.is_file():
            raise DataError(f"data {source!r}: files of this type are not read; give {OTHER_SOURCES}")
    except OSError as error:
        raise DataError(f"data {error.filename or source}: cannot be read ({error.strerror}); check the path") from None
    raise DataError(
        f"data {source!r}: no such folder or data set{nearest(source, DATASET_NAMES)}; "
        f"give {', '.join(DATASET_NAMES)}, {OTHER_SOURCES}"
    )


UNREAD = (1, 2, 1 << 30)
"""The least channels and classes of images that are not read, and a size that counts as unlimited."""


def describe(source: str) -> tuple[int, int, int]:
    """Channels, classes and image size of a source without reading it: exact for built-in data, else the minimum.

    Of images that are not read it is `UNREAD`. Raises: DataError for unknown options of a named data set.
    """
    name = _named(source)
    if name == "synthetic-lesions":
        options = options_of(source)
        return 3, options.classes, options.size
    return OUTLINES.get(name, UNREAD)


def _named(source: str) -> str:
    """The name of a named data set, else an empty text. Raises: DataError if it has options and takes none."""
    name, colon, _ = source.partition(":")
    if name in LOADERS and colon and name != "synthetic-lesions":
        raise DataError(f"data {source!r}: {name} takes no options; give {name}")
    return name if name in LOADERS else ""
