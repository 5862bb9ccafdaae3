"""Reads many image files in parallel, each once; all faulty files are found before any image is used."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.decode import decode
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.image_files import FileFacts, ImageFiles, file_facts, scale_of
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress

KEPT_BYTES = 1_500_000_000
"""Most bytes of decoded pixels that stay in memory; further images are decoded again when needed."""
MAX_LISTED = 3
"""Most files that a message names."""


@dataclass(frozen=True)
class ReadFiles:
    """The usable images, their positions in the list of files, and path and fault of every other file."""

    images: ImageFiles
    positions: NDArray[np.int64]
    skipped: tuple[tuple[str, str], ...]


def read(
    source: str, root: Path, files: Sequence[Path], *, skip_corrupt: bool = False, progress: Progress = no_progress
) -> ReadFiles:
    """Decodes `files`, which are below `root`, on all cores.

    Raises: DataError that names the first faulty files and counts all, unless `skip_corrupt` leaves them out; also if
    no file is usable.
    """
    facts: list[FileFacts] = []
    kept: list[NDArray[np.uint8] | None] = []
    positions: list[int] = []
    faults: list[tuple[str, str]] = []
    budget = KEPT_BYTES
    for position, (file, result) in enumerate(zip(files, _decoded(files), strict=True)):
        if isinstance(result, str):
            faults.append((str(file.relative_to(root)), result))
        else:
            facts_of_file, pixels = result
            budget -= pixels.nbytes
            facts.append(facts_of_file)
            kept.append(pixels if budget >= 0 else None)
            positions.append(position)
        progress("reading images", position + 1, len(files))
    if faults and not (skip_corrupt and facts):
        raise DataError(_format_faults(source, faults, len(files)))
    _use_one_scale(source, facts, kept)
    colour = any(file.shape[2] == 3 for file in facts)
    images = ImageFiles(facts, kept, 3 if colour else 1, scale_of(facts))
    return ReadFiles(images, np.array(positions, dtype=np.int64), tuple(faults))


def _use_one_scale(source: str, facts: list[FileFacts], kept: list[NDArray[np.uint8] | None]) -> None:
    """Reads files again, in place, that were read on another scale than that of all files. Raises: DataError."""
    scale = scale_of(facts)
    others = [index for index, file in enumerate(facts) if not file.conversion.is_on(scale)]
    for index, result in zip(others, _decoded([facts[index].path for index in others], scale), strict=True):
        if isinstance(result, str):
            raise DataError(f"data {source}: {facts[index].path} {result}; it changed while it was read, read it again")
        facts[index], pixels = result
        kept[index] = None if kept[index] is None else pixels


def _format_faults(source: str, faults: Sequence[tuple[str, str]], count: int) -> str:
    """The error message for faulty files among `count` files."""
    first = "; ".join(f"{path} {reason}" for path, reason in faults[:MAX_LISTED])
    more = f"; and {len(faults) - MAX_LISTED} more" if len(faults) > MAX_LISTED else ""
    if len(faults) == count:
        remedy = "no file is usable"  # nor can an audit list them: it needs at least one image
    else:
        more += " (`lightcnn audit` lists all)" if more else ""
        remedy = "repair or remove them, or leave them out with --skip-corrupt"
    return f"data {source}: {len(faults)} of {count} files cannot be used: {first}{more}; {remedy}"


def _decoded(
    files: Sequence[Path], scale: IntensityScale | None = OWN_SCALE
) -> Iterator[tuple[FileFacts, NDArray[np.uint8]] | str]:
    """Facts and pixels of each file, or its fault, in order."""

    def decoded_file(file: Path) -> tuple[FileFacts, NDArray[np.uint8]] | str:
        try:
            decoded = decode(file, scale)
        except DataError as error:
            return str(error)
        return file_facts(file, decoded), decoded.pixels

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow warns about damaged EXIF and bombs; what matters is an error here
        yield from pool.map(decoded_file, files)
