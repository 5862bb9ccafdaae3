"""Whether file names tell which images come from one source: patterns are trusted by rules, over all files together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.grouping.name_patterns import INDEXED, KERAS, Copy, copy_of, patient_of

EXPLAINED = 0.8
"""Share of all files whose names must tell a patient, or none is believed."""
HANDFUL = 5
"""Groups of two or more that there must be: fewer are coincidence."""
CLASS_SHARE, SMALL_CLASS = 0.5, 8
"""Share of a class that one group may hold, where the class has more images than that: `apple_rot_1`, `apple_rot_2`
and so on are a class and a counter, not many pictures of one apple."""
AGREEING = 0.8
"""Share of the clusters of near duplicates that must lie within patients, where there are a HANDFUL or more."""
CONFIRMED = 0.2
"""Share of the groups of copies in which near duplicates are found, where a HANDFUL of clusters or more is found at
all: the rest may be changed too much to be recognised, and on smooth images none may be."""
MET = 0.5
"""Share of the running numbers that stand on several sides in which near duplicates do so too; with fewer, numbers were
given on each side by itself."""
SCATTERED = 20
"""A number drawn at random is, at its largest, so many times as large as there are of them; a counter is not."""


@dataclass(frozen=True)
class NameGroups:
    """A name for the source of every file, its own path where nothing is told, and why that is believed."""

    groups: NDArray[np.str_]
    why: str


class _File(NamedTuple):
    path: str
    stem: str
    label: str
    side: str


def name_groups(
    paths: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    clusters: NDArray[np.int64] | None = None,
) -> NameGroups | None:
    """Groups read from file names, or None where no pattern can be trusted.

    `labels` and `split` are told from the folders where they are not given. `clusters` (N,) are the near duplicates
    where they were looked for: a number for each file, the same within a cluster.
    """
    files = [
        _File(path, PurePath(path).stem, labels[i] if labels else PurePath(path).parent.name,
              split[i] if split else str(PurePath(path).parent.parent))
        for i, path in enumerate(paths)
    ]  # fmt: skip
    copies = _copies(files)
    keys = _copy_keys(files, copies)
    if _counted_apart(keys, files, copies, clusters):
        keys = _copy_keys(files, copies, apart=True)
    if not _believed_copies(keys, clusters):
        copies, keys = [Copy(file.stem) for file in files], [file.path for file in files]
    ids = [patient_of(copy.source, file.label) for copy, file in zip(copies, files, strict=True)]
    patients = [found[1] if found else key for found, key in zip(ids, keys, strict=True)]
    told = sum(found is not None for found in ids)
    if told >= EXPLAINED * len(files) and _believed_patients(patients, files, clusters):
        patterns = {found[0] for found in ids if found}
        why = f"{told:,} of {len(files):,} file names tell whom they show ({', '.join(sorted(patterns))})"
        return NameGroups(np.array(patients, dtype=np.str_), why)
    if any(copy.patterns for copy in copies):
        count = sum(size for size in Counter(keys).values() if size > 1)
        used = {pattern for copy, key, file in zip(copies, keys, files, strict=True) if key != file.path
                for pattern in copy.patterns}  # fmt: skip
        why = f"{count:,} of {len(files):,} file names are those of copies of one image ({', '.join(sorted(used))})"
        return NameGroups(np.array(keys, dtype=np.str_), why)
    return None


def _copies(files: Sequence[_File]) -> list[Copy]:
    """What every name is a copy of, by the patterns that are left when implausible ones have been barred."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in files:
        known[file.label, file.side].add(file.stem)
    barred: set[str] = set()
    while True:
        copies = [copy_of(file.stem, known[file.label, file.side], barred) for file in files]
        worse = _counters(copies) | _too_large(files, copies)
        if not worse:
            return copies
        barred |= worse


def _counters(copies: Sequence[Copy]) -> set[str]:
    """The patterns whose random numbers look like counters."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for copy in copies:
        if copy.scattered is not None:
            numbers[copy.source].append(copy.scattered)
    reach = [max(values) / len(values) for values in numbers.values()]
    if not reach or float(np.median(reach)) >= SCATTERED:
        return set()
    return {KERAS}


def _too_large(files: Sequence[_File], copies: Sequence[Copy]) -> set[str]:
    """The patterns that lead to a group which holds too much of its class."""
    large = _implausible(_copy_keys(files, copies), files)
    return {pattern for copy, key in zip(copies, _copy_keys(files, copies), strict=True) if key in large
            for pattern in copy.patterns}  # fmt: skip


def _counted_apart(
    keys: Sequence[str], files: Sequence[_File], copies: Sequence[Copy], clusters: NDArray[np.int64] | None
) -> bool:
    """Whether running numbers of sources begin anew on every given side, as far as near duplicates tell.

    Where they do not tell it, equal numbers are one source: a leak that is feared in vain costs less than a hidden one.
    """
    if clusters is None or len(_members(clusters.tolist())) < HANDFUL:
        return False
    spanning = [
        members
        for members in _members(keys)
        if len({files[i].side for i in members}) > 1 and any(copies[i].patterns & INDEXED for i in members)
    ]
    met = sum(
        any(len({files[members[i]].side for i in alike}) > 1 for alike in _members(clusters[members].tolist()))
        for members in spanning
    )  # fmt: skip
    return met < MET * len(spanning)


def _copy_keys(files: Sequence[_File], copies: Sequence[Copy], *, apart: bool = False) -> list[str]:
    """A name for the source of every file. Sources count within their class, since numbers begin anew in each; near
    duplicates join what is one all the same. Within class and side where whole names begin anew on every side, and
    running numbers where these are counted `apart`."""
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in files:
        sides[file.label, file.stem].add(file.side)
    anew = {label for (label, _), stands in sides.items() if len(stands) > 1}
    keys = []
    for file, copy in zip(files, copies, strict=True):
        within = file.label in anew or (apart and copy.patterns & INDEXED)
        parts = (file.side if within else "", file.label, copy.source)
        keys.append("/".join(part for part in parts if part not in ("", ".")))
    shared, marked = Counter(keys), {key for key, copy in zip(keys, copies, strict=True) if copy.patterns}
    return [key if shared[key] > 1 and key in marked else file.path for key, file in zip(keys, files, strict=True)]


def _implausible(keys: Sequence[str], files: Sequence[_File]) -> set[str]:
    """The groups that hold more than CLASS_SHARE of a class that is not small."""
    sizes = Counter(file.label for file in files)
    held = Counter((key, file.label) for key, file in zip(keys, files, strict=True))
    return {
        key for (key, label), count in held.items() if sizes[label] > SMALL_CLASS and count > CLASS_SHARE * sizes[label]
    }


def _believed_copies(keys: Sequence[str], clusters: NDArray[np.int64] | None) -> bool:
    groups = _members(keys)
    if len(groups) < HANDFUL:
        return False
    if clusters is None or len(_members(clusters.tolist())) < HANDFUL:
        return True
    confirmed = sum(len(set(clusters[members].tolist())) < len(members) for members in groups)
    return confirmed >= CONFIRMED * len(groups)


def _believed_patients(keys: Sequence[str], files: Sequence[_File], clusters: NDArray[np.int64] | None) -> bool:
    if len(_members(keys)) < HANDFUL or _implausible(keys, files):
        return False
    if clusters is None:
        return True
    # A copy under another class is a wrong label, not a wrong patient.
    found = _members([(cluster, file.label) for cluster, file in zip(clusters.tolist(), files, strict=True)])
    within = sum(len({keys[i] for i in members}) == 1 for members in found)
    return len(found) < HANDFUL or within >= AGREEING * len(found)


def _members(keys: Iterable[object]) -> list[list[int]]:
    """The places of every key that stands at two or more."""
    places: dict[object, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return [members for members in places.values() if len(members) > 1]
