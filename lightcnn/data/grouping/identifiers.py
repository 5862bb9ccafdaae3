"""What in a path may identify the patient: a folder, or a part of the file name; each kind with its rule of belief."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

from lightcnn.data.files.spelling import SPLIT_ALIASES, same_name
from lightcnn.data.grouping.belief import FileName, counted_within, named_by_class, only_dates, small_groups
from lightcnn.data.grouping.name_parts import beginnings
from lightcnn.data.grouping.name_patterns import (
    LETTER_NUMBER,
    Identifier,
    folder_pattern,
    pair_of,
    patient_of,
)

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
    depths = _depths(files)
    for depth in depths:
        yield NameReading("paths have a folder of one patient", _folder_reader(depth, ("PATIENT_NUMBER",)))
    yield NameReading("file names contain a patient identifier", lambda file: _patient(file))
    for depth in depths:
        reader = _folder_reader(depth, ("PATIENT_NUMBER", "STUDY_NUMBER", "NUMBER"))
        yield NameReading("paths have a folder of few images with a number", reader, strict=True)
    yield NameReading(
        "file names contain a number that recurs", lambda file: pair_of(file.stem, file.label), strict=True
    )


def few_patients(files: Sequence[FileName]) -> Iterator[NameReading]:
    """What contains a word for a patient or a recording: it is mentioned even if there are too few to be used."""
    yield NameReading("file names contain a patient identifier", _named_patient)
    for depth in _depths(files):
        yield NameReading("paths have a folder of one patient", _folder_reader(depth, ("PATIENT_NUMBER",)))


def possible_patients(files: Sequence[FileName]) -> Iterator[NameReading]:
    """What may identify patients, but as well something else: it is mentioned, and not used."""
    parts = {file.stem: ids for file in files if (ids := beginnings(file.stem))}
    for count in range(1, 1 + max((max(ids, default=0) for ids in parts.values()), default=0)):
        reader = partial(_beginning, parts, count)
        yield NameReading("file names begin with a name that recurs", reader, strict=True)
    for depth in _depths(files):
        yield NameReading("paths have a folder of few images", _folder_reader(depth, ()), strict=True)


def believed_strictly(pairs: Sequence[Identifier], labels: Sequence[str]) -> bool:
    """Whether groups are small, not named by dates, and their numbers restart in each group and are not the classes."""
    numbers, ids = [pair.number for pair in pairs], [pair.id for pair in pairs]
    if not small_groups(ids) or only_dates(ids) or named_by_class(numbers, labels):
        return False
    return counted_within([number for number in numbers if number])


def _depths(files: Sequence[FileName]) -> range:
    """The levels of folders that are read."""
    return range(min(MAX_DEPTH, max((len(PurePath(file.path).parts) - 1 for file in files), default=0)))


def _beginning(parts: Mapping[str, Mapping[int, Identifier]], count: int, file: FileName) -> Identifier | None:
    """The first parts of a name, if they contain a number."""
    return parts[file.stem].get(count) if file.stem in parts else None


def _named_patient(file: FileName) -> Identifier | None:
    """The patient, if a word states that it is one."""
    patient = _patient(file)
    return patient if patient and patient.title != LETTER_NUMBER else None


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
        if same_name(name) == same_name(file.label) or name.lower() in SPLIT_FOLDERS or name.endswith(".tar"):
            return None  # a shard is no patient
        title = folder_pattern(name)
        return Identifier(title, name.lower()) if title in titles or not titles else None

    return read
