"""What in a path may identify the patient: a folder, or a part of the file name; each kind with its rule of belief."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import NamedTuple

from lightcnn.data.files.spelling import SPLIT_ALIASES, same_name
from lightcnn.data.grouping.belief import FileName, counted_within, only_dates, small_groups
from lightcnn.data.grouping.name_patterns import Identifier, folder_pattern, numbered, pair_of, patient_of

MAX_DEPTH = 8
"""Most levels of folders that are read."""
SPLIT_FOLDERS = frozenset(("train", "val", "test", *SPLIT_ALIASES))


class NameReading(NamedTuple):
    """What all paths are read for: a title, how a path is read, and whether stricter rules of belief apply.

    `evidence` is the end of a sentence that begins with a number of paths.
    """

    evidence: str
    read: Callable[[FileName], Identifier | None]
    strict: bool = False


def readings(files: Sequence[FileName]) -> Iterator[NameReading]:
    """What identifies patients, in the order of trust: folders of patients, names of files, other folders, pairs."""
    depths = range(min(MAX_DEPTH, max((len(PurePath(file.path).parts) - 1 for file in files), default=0)))
    for depth in depths:
        yield NameReading("paths have a folder of one patient", _folder_reader(depth, ("PATIENT_NUMBER",)))
    yield NameReading("file names contain a patient identifier", lambda file: _patient(file))
    for depth in depths:
        reader = _folder_reader(depth, ("PATIENT_NUMBER", "STUDY_NUMBER", "NUMBER"))
        yield NameReading("paths have a folder of few images with a number", reader, strict=True)
    yield NameReading(
        "file names contain a number that recurs", lambda file: pair_of(file.stem, file.label), strict=True
    )


def open_questions(files: Sequence[FileName]) -> Iterator[NameReading]:
    """What may identify patients, but as well something else: it is mentioned, and not used."""
    yield NameReading("file names begin with a name that recurs", lambda file: numbered(file.stem), strict=True)
    for depth in range(min(MAX_DEPTH, max((len(PurePath(file.path).parts) - 1 for file in files), default=0))):
        yield NameReading("paths have a folder of few images", _folder_reader(depth, ()), strict=True)


def believed_strictly(pairs: Sequence[Identifier]) -> bool:
    """Whether groups are small, not named by dates, and their numbers restart in each group."""
    numbers = [pair.number for pair in pairs if pair.number]
    ids = [pair.id for pair in pairs]
    return small_groups(ids) and not only_dates(ids) and counted_within(numbers)


def _patient(file: FileName) -> Identifier | None:
    match = patient_of(file.stem, file.label)
    return Identifier(*match) if match else None


def _folder_reader(depth: int, titles: Sequence[str]) -> Callable[[FileName], Identifier | None]:
    """Reads the folder at a depth if it has one of these patterns (any name if there are none), and names no class."""

    def read(file: FileName) -> Identifier | None:
        folders = PurePath(file.path).parts[:-1]
        if depth >= len(folders):
            return None
        name = folders[depth]
        if same_name(name) == same_name(file.label) or name.lower() in SPLIT_FOLDERS:
            return None
        title = folder_pattern(name)
        return Identifier(title, name.lower()) if title in titles or not titles else None

    return read
