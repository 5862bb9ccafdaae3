"""From a SOURCE, as people type it, to labelled images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightcnn.data.arrays import read_npz
from lightcnn.data.dataset import Dataset, assemble
from lightcnn.data.folders import read_folder
from lightcnn.data.manifest import read_manifest
from lightcnn.data.read import Progress, silent
from lightcnn.document import nearest
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


def load(source: str, reading: Reading | None = None, *, progress: Progress = silent) -> Dataset:
    """The images of a source: `digits`, a folder of class folders, or a .npz in MedMNIST's layout.

    Raises: DataError with one line that names the file, the rule and the remedy.
    """
    reading = reading or Reading()
    if source == "digits":
        return _digits()
    path = Path(source)
    try:
        if path.suffix.lower() == ".npz":
            return read_npz(path)
        if path.suffix.lower() == ".csv":
            return read_manifest(path, skip_corrupt=reading.skip_corrupt, progress=progress)
        if path.is_dir():
            return read_folder(path, skip_corrupt=reading.skip_corrupt, progress=progress)
        if path.is_file():
            raise DataError(
                f"data {source!r}: a file of a kind that is not read; give a folder of class folders, or a .npz"
            )
    except OSError as error:
        raise DataError(f"data {error.filename or source}: cannot be read ({error.strerror}); check the path") from None
    raise DataError(
        f"data {source!r}: no such folder and no built-in data set{nearest(source, ['digits'])}; "
        "give digits, a folder of class folders, or a .npz"
    )


def outline(source: str) -> tuple[int, int, int]:
    """Channels, classes and size of a source, told without reading it: exact for built-in data, else the least.

    The size of unread data is taken as unlimited.
    """
    return (1, 10, 8) if source == "digits" else (1, 2, 1 << 30)


def _digits() -> Dataset:
    """UCI's optical recognition of handwritten digits, as scikit-learn ships it: 1,797 scans of 8×8, 17 levels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return assemble(
        "digits",
        images,
        bunch.target.astype(np.int64),
        tuple(str(name) for name in bunch.target_names),
        note="the writers of the digits are unknown: each image counts as its own, so scores may be flattered",
    )
