"""Reading many image files: in parallel, each once, with every fault found before anything is done with the rest."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import FileFacts, Files, facts
from lightcnn.data.files.decode import decode
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress

KEPT_BYTES = 1_500_000_000
"""Decoded pixels that stay in memory, at most; what is beyond is decoded again when needed."""
SHOWN = 3
"""Faulty files that an error names."""


@dataclass(frozen=True)
class ReadFiles:
    """What was read: images that are whole, the places in the list they had, and paths and faults of the others."""

    images: Files
    places: NDArray[np.int64]
    skipped: tuple[tuple[str, str], ...]

    @property
    def note(self) -> str:
        """What a reader of results should know of the files."""
        several = sum(one.several for one in self.images.files)
        return f"the first picture of {several} files that hold several" if several else ""


def read(
    source: str, root: Path, files: Sequence[Path], *, skip_corrupt: bool = False, progress: Progress = no_progress
) -> ReadFiles:
    """Decodes `files`, which lie below `root`, on all cores.

    Raises: DataError that names the first faulty files and counts them, unless `skip_corrupt` leaves them out; also
    where no file is whole.
    """
    whole: list[FileFacts] = []
    kept: list[NDArray[np.uint8] | None] = []
    places: list[int] = []
    faults: list[tuple[str, str]] = []
    budget = KEPT_BYTES
    for place, (file, result) in enumerate(zip(files, _decoded(files), strict=True)):
        if isinstance(result, str):
            faults.append((str(file.relative_to(root)), result))
        else:
            one, pixels = result
            budget -= pixels.nbytes
            whole.append(one)
            kept.append(pixels if budget >= 0 else None)
            places.append(place)
        progress("reading images", place + 1, len(files))
    if faults and not (skip_corrupt and whole):
        raise DataError(_refusal(source, faults, len(files)))
    colour = any(one.shape[2] == 3 for one in whole)
    return ReadFiles(Files(whole, kept, 3 if colour else 1), np.array(places, dtype=np.int64), tuple(faults))


def _refusal(source: str, faults: Sequence[tuple[str, str]], count: int) -> str:
    shown = "; ".join(f"{path} {reason}" for path, reason in faults[:SHOWN])
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    if len(faults) == count:
        remedy = "not one is whole"  # an audit cannot list them either: it has nothing to look at
    else:
        more += " (`lightcnn audit` lists all)" if more else ""
        remedy = "repair or remove them, or leave them out with --skip-corrupt"
    return f"data {source}: {len(faults)} of {count} files cannot be used: {shown}{more}; {remedy}"


def _decoded(files: Sequence[Path]) -> Iterator[tuple[FileFacts, NDArray[np.uint8]] | str]:
    """Facts and pixels of each file, or what is wrong with it, in order."""

    def one(file: Path) -> tuple[FileFacts, NDArray[np.uint8]] | str:
        try:
            decoded = decode(file)
        except DataError as error:
            return str(error)
        return facts(file, decoded), decoded.pixels

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on damaged EXIF and bombs: what matters is an error here
        yield from pool.map(one, files)
