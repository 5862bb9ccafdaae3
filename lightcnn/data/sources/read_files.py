"""Reads many image files in parallel, each once; all faulty files are found before any image is used."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.decode import ImageSource, decode
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.image_files import FileFacts, FileList, FileTable, ImageFiles, file_facts, scale_of
from lightcnn.data.parallel import map_in_order
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress

KEPT_BYTES = 1_500_000_000
"""Most bytes of decoded pixels that stay in memory; further images are decoded again when needed."""
MAX_LISTED = 3
"""Most files that a message names."""


@dataclass(frozen=True)
class ReadFiles:
    """The usable images, their positions in the list of files, and name and fault of every other file."""

    images: ImageFiles
    positions: NDArray[np.int64]
    skipped: tuple[tuple[str, str], ...]


def read(source: str, files: FileList, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> ReadFiles:
    """Decodes `files` on all cores.

    Raises: DataError that names the first faulty files and counts all, unless `skip_corrupt` leaves them out; also if
    no file is usable.
    """
    table = FileTable(len(files))
    kept: list[NDArray[np.uint8] | None] = []
    usable = np.zeros(len(files), dtype=np.bool_)
    faults: list[tuple[str, str]] = []
    budget = KEPT_BYTES
    for position, result in enumerate(_decoded(files[index] for index in range(len(files)))):
        if isinstance(result, str):
            faults.append((files.names[position], result))
        else:
            facts, pixels = result
            budget -= pixels.nbytes
            table.record(position, facts)
            kept.append(pixels if budget >= 0 else None)
            usable[position] = True
        progress("reading images", position + 1, len(files))
    if faults and not (skip_corrupt and kept):
        raise DataError(_format_faults(source, faults, len(files)))
    positions = np.flatnonzero(usable)
    if faults:
        files, table = files.chosen(positions), table.chosen(positions)
    _use_one_scale(source, files, table, kept)
    colour = bool((table.shapes[:, 2] == 3).any())
    images = ImageFiles(files, table, kept, 3 if colour else 1, scale_of(table.conversions()))
    return ReadFiles(images, positions, tuple(faults))


def _use_one_scale(source: str, files: FileList, table: FileTable, kept: list[NDArray[np.uint8] | None]) -> None:
    """Reads files again, in place, that were read on another scale than that of all files. Raises: DataError."""
    scale = scale_of(table.conversions())
    others = [index for index, conversion in enumerate(table.conversions()) if not conversion.is_on(scale)]
    for index, result in zip(others, _decoded((files[index] for index in others), scale), strict=True):
        if isinstance(result, str):
            raise DataError(
                f"data {source}: {files.names[index]} {result}; it changed while it was read, read it again"
            )
        facts, pixels = result
        table.record(index, facts)
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
    files: Iterable[ImageSource], scale: IntensityScale | None = OWN_SCALE
) -> Iterator[tuple[FileFacts, NDArray[np.uint8]] | str]:
    """Facts and pixels of each file, or its fault, in order."""

    def decoded_file(file: ImageSource) -> tuple[FileFacts, NDArray[np.uint8]] | str:
        try:
            decoded = decode(file, scale)
        except DataError as error:
            return str(error)
        return file_facts(decoded), decoded.pixels

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about damaged EXIF and bombs; what matters is an error here
        yield from map_in_order(decoded_file, files)
