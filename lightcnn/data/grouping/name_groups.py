"""Groups inferred from file names: a pattern is accepted only if it is plausible over all files together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.spelling import with_one_spelling
from lightcnn.data.grouping.belief import (
    MIN_GROUPS,
    MIN_PATIENT_NAMES,
    FileName,
    few_but_named,
    implausible_groups,
    is_coarser,
    members_of,
    plausible_copies,
    plausible_patients,
)
from lightcnn.data.grouping.identifiers import (
    NameReading,
    believed_strictly,
    few_patients,
    possible_patients,
    readings,
)
from lightcnn.data.grouping.name_patterns import INDEXED, KERAS, Copy, Identifier, copy_of

MIN_CONFIRMED_NUMBERS = 0.5
"""Smallest share of the running numbers in several splits for which near duplicates are in several splits too; with a
smaller one, every split was numbered separately."""
MIN_RANDOM_RATIO = 20
"""Smallest ratio of the largest of several numbers to their count, if they are random; counters have a smaller one."""


@dataclass(frozen=True)
class NameGroups:
    """The name of every file's group (N,), its own path if the name shows none, and a clause on the evidence.

    They are `sure` if a name or folder states what they are, as `patient12` does; coarser ones are then not looked for.
    """

    groups: NDArray[np.str_]
    reason: str
    sure: bool = False


def name_groups(
    paths: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    clusters: NDArray[np.int64] | None = None,
) -> NameGroups | None:
    """Groups inferred from N file names, or None if no pattern is plausible.

    If `labels` or `split` are not given, the folders' names are used. `clusters` (N,) are the near duplicates, if they
    were searched for: one number per file, equal within a cluster.
    """
    files = [
        FileName(path, PurePath(path).stem, labels[i] if labels else PurePath(path).parent.name,
              split[i] if split else str(PurePath(path).parent.parent))
        for i, path in enumerate(paths)
    ]  # fmt: skip
    copies = _copies(files)
    keys = _copy_keys(files, copies)
    if _numbered_per_split(keys, files, copies, clusters):
        keys = _copy_keys(files, copies, per_split=True)
    if not plausible_copies(keys, clusters):
        copies, keys = [Copy(file.stem) for file in files], [file.path for file in files]
    originals = [file._replace(stem=copy.source) for copy, file in zip(copies, files, strict=True)]
    patients = _patients(originals, keys, clusters)
    if patients is not None:
        return patients
    if any(copy.patterns for copy in copies):
        count = sum(size for size in Counter(keys).values() if size > 1)
        used = {pattern for copy, key, file in zip(copies, keys, files, strict=True) if key != file.path
                for pattern in copy.patterns}  # fmt: skip
        reason = f"{count:,} of {len(files):,} file names mark copies of another image ({', '.join(sorted(used))})"
        return NameGroups(np.array(keys, dtype=np.str_), reason)
    return None


def open_question(
    paths: Sequence[str], labels: Sequence[str], split: Sequence[str], groups: Sequence[str] | None = None
) -> str:
    """A clause on what may identify patients in N paths, but is not sure enough; empty if nothing.

    If names gave `groups`, one per path, only what unites several of them is mentioned.
    """
    files = [FileName(path, PurePath(path).stem, labels[i], split[i]) for i, path in enumerate(paths)]
    if groups is not None:
        files = [file._replace(stem=copy.source) for file, copy in zip(files, _copies(files), strict=True)]
    for reading in few_patients(files):
        known, ids = _read(reading, files)
        if groups is None and len(known) >= MIN_PATIENT_NAMES * len(files) and few_but_named(ids, files):
            return f"{len(known):,} of {len(files):,} {reading.evidence}, as {_format_ids(ids)}"
    clauses: dict[str, list[str]] = defaultdict(list)
    for reading in possible_patients(files):
        known, ids = _read(reading, files)
        if _plausible(reading, known, ids, files, None) and (groups is None or is_coarser(ids, groups)):
            clauses[f"{len(known):,} of {len(files):,} {reading.evidence}"].append(_format_ids(ids))
    for evidence, names in clauses.items():
        return f"{evidence}, as {' or '.join(dict.fromkeys((names[0], names[-1])))}"
    return ""


def _read(reading: NameReading, files: Sequence[FileName]) -> tuple[list[tuple[FileName, Identifier]], list[str]]:
    """The files that have an identifier, with it; and the identifiers of all files, or their paths."""
    pairs = [reading.read(file) for file in files]
    known = [(file, pair) for file, pair in zip(files, pairs, strict=True) if pair]
    return known, [pair.id if pair else file.path for file, pair in zip(files, pairs, strict=True)]


def _format_ids(ids: Sequence[str]) -> str:
    """The first identifier that recurs, and how many do."""
    groups = members_of(ids)
    return f"{ids[groups[0][0]]!r} ({len(groups):,} names)"


def _patients(files: Sequence[FileName], keys: Sequence[str], clusters: NDArray[np.int64] | None) -> NameGroups | None:
    """The groups of the first reading that is plausible; `keys` are those of images that a reading does not find."""
    for reading in readings(files):
        pairs = [reading.read(file) for file in files]
        known = [(file, pair) for file, pair in zip(files, pairs, strict=True) if pair]
        spelled = iter(with_one_spelling([pair.id for _, pair in known])[0])
        patients = [next(spelled) if pair else key for pair, key in zip(pairs, keys, strict=True)]
        if _plausible(reading, known, patients, files, clusters):
            titles = ", ".join(sorted({pair.title for _, pair in known}))
            reason = f"{len(known):,} of {len(files):,} {reading.evidence} ({titles})"
            return NameGroups(np.array(patients, dtype=np.str_), reason, sure=not reading.strict)
    return None


def _plausible(
    reading: NameReading,
    known: Sequence[tuple[FileName, Identifier]],
    keys: Sequence[str],
    files: Sequence[FileName],
    clusters: NDArray[np.int64] | None,
) -> bool:
    """Whether enough files have an identifier, and the groups meet the rules of belief."""
    if len(known) < max(1, MIN_PATIENT_NAMES * len(files)):
        return False
    if reading.strict and not believed_strictly([pair for _, pair in known], [file.label for file, _ in known]):
        return False
    return plausible_patients(keys, files, clusters)


def _copies(files: Sequence[FileName]) -> list[Copy]:
    """What every file is a copy of, by the patterns that remain after implausible ones have been excluded."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in files:
        known[file.label, file.split].add(file.stem)
    excluded: set[str] = set()
    while True:
        copies = [copy_of(file.stem, known[file.label, file.split], excluded) for file in files]
        implausible = _counters(copies) | _too_large(files, copies)
        if not implausible:
            return copies
        excluded |= implausible


def _counters(copies: Sequence[Copy]) -> set[str]:
    """The patterns whose supposedly random numbers look like counters."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for copy in copies:
        if copy.random_number is not None:
            numbers[copy.source].append(copy.random_number)
    ratios = [max(values) / len(values) for values in numbers.values()]
    if not ratios or float(np.median(ratios)) >= MIN_RANDOM_RATIO:
        return set()
    return {KERAS}


def _too_large(files: Sequence[FileName], copies: Sequence[Copy]) -> set[str]:
    """The patterns of groups that contain too much of their class."""
    large = implausible_groups(_copy_keys(files, copies), files)
    return {pattern for copy, key in zip(copies, _copy_keys(files, copies), strict=True) if key in large
            for pattern in copy.patterns}  # fmt: skip


def _numbered_per_split(
    keys: Sequence[str], files: Sequence[FileName], copies: Sequence[Copy], clusters: NDArray[np.int64] | None
) -> bool:
    """Whether the running numbers of originals restart in every given split, judging by near duplicates.

    If these do not show it, equal numbers count as one group: a wrongly suspected leak costs less than a hidden one.
    """
    if clusters is None or len(members_of(clusters.tolist())) < MIN_GROUPS:
        return False
    spanning = [
        members
        for members in members_of(keys)
        if len({files[i].split for i in members}) > 1 and any(copies[i].patterns & INDEXED for i in members)
    ]
    confirmed = sum(
        any(len({files[members[i]].split for i in cluster}) > 1 for cluster in members_of(clusters[members].tolist()))
        for members in spanning
    )  # fmt: skip
    return confirmed < MIN_CONFIRMED_NUMBERS * len(spanning)


def _copy_keys(files: Sequence[FileName], copies: Sequence[Copy], *, per_split: bool = False) -> list[str]:
    """The name of every file's original.

    Names count within a class, since numbers restart in each class; near duplicates still join what belongs together.
    They count within class and split if whole names recur in several splits; running numbers also if `per_split`.
    """
    first_splits: dict[tuple[str, str], str] = {}
    recurring = {
        file.label for file in files if first_splits.setdefault((file.label, file.stem), file.split) != file.split
    }
    keys = []
    for file, copy in zip(files, copies, strict=True):
        within_split = file.label in recurring or (per_split and copy.patterns & INDEXED)
        parts = (file.split if within_split else "", file.label, copy.source)
        keys.append("/".join(part for part in parts if part not in ("", ".")))
    counts, copied = Counter(keys), {key for key, copy in zip(keys, copies, strict=True) if copy.patterns}
    return [key if counts[key] > 1 and key in copied else file.path for key, file in zip(keys, files, strict=True)]
