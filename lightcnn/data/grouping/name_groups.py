"""Groups inferred from file names: a pattern is accepted only if it is plausible over all files together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.grouping.name_patterns import INDEXED, KERAS, Copy, copy_of, patient_of

MIN_PATIENT_NAMES = 0.8
"""Smallest share of all files whose names must contain a patient; with fewer, no patients are inferred."""
MIN_GROUPS = 5
"""Fewest groups of two or more images: fewer are coincidence."""
MAX_CLASS_SHARE, SMALL_CLASS = 0.5, 8
"""Largest share of a class that one group may contain, if the class has more than SMALL_CLASS images: `apple_rot_1`,
`apple_rot_2` and so on are a class and a counter, not many images of one apple."""
MIN_AGREEING_CLUSTERS = 0.8
"""Smallest share of the clusters of near duplicates that must be within a patient, if there are MIN_GROUPS or more."""
MIN_CONFIRMED_GROUPS = 0.2
"""Smallest share of the groups of copies that must contain near duplicates, if there are MIN_GROUPS clusters
or more: the others may be changed too much to be recognised, and on smooth images all may be."""
MIN_CONFIRMED_NUMBERS = 0.5
"""Smallest share of the running numbers in several splits for which near duplicates are in several splits too; with a
smaller one, every split was numbered separately."""
MIN_RANDOM_RATIO = 20
"""Smallest ratio of the largest of several numbers to their count, if they are random; counters have a smaller one."""


@dataclass(frozen=True)
class NameGroups:
    """The name of every file's group (N,), its own path if the name shows none, and a clause on the evidence."""

    groups: NDArray[np.str_]
    reason: str


class _File(NamedTuple):
    path: str
    stem: str
    label: str
    split: str


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
        _File(path, PurePath(path).stem, labels[i] if labels else PurePath(path).parent.name,
              split[i] if split else str(PurePath(path).parent.parent))
        for i, path in enumerate(paths)
    ]  # fmt: skip
    copies = _copies(files)
    keys = _copy_keys(files, copies)
    if _numbered_per_split(keys, files, copies, clusters):
        keys = _copy_keys(files, copies, per_split=True)
    if not _plausible_copies(keys, clusters):
        copies, keys = [Copy(file.stem) for file in files], [file.path for file in files]
    ids = [patient_of(copy.source, file.label) for copy, file in zip(copies, files, strict=True)]
    patients = [match[1] if match else key for match, key in zip(ids, keys, strict=True)]
    count = sum(match is not None for match in ids)
    if count >= MIN_PATIENT_NAMES * len(files) and _plausible_patients(patients, files, clusters):
        patterns = {match[0] for match in ids if match}
        reason = f"{count:,} of {len(files):,} file names contain a patient identifier ({', '.join(sorted(patterns))})"
        return NameGroups(np.array(patients, dtype=np.str_), reason)
    if any(copy.patterns for copy in copies):
        count = sum(size for size in Counter(keys).values() if size > 1)
        used = {pattern for copy, key, file in zip(copies, keys, files, strict=True) if key != file.path
                for pattern in copy.patterns}  # fmt: skip
        reason = f"{count:,} of {len(files):,} file names mark copies of another image ({', '.join(sorted(used))})"
        return NameGroups(np.array(keys, dtype=np.str_), reason)
    return None


def _copies(files: Sequence[_File]) -> list[Copy]:
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


def _too_large(files: Sequence[_File], copies: Sequence[Copy]) -> set[str]:
    """The patterns of groups that contain too much of their class."""
    large = _implausible_groups(_copy_keys(files, copies), files)
    return {pattern for copy, key in zip(copies, _copy_keys(files, copies), strict=True) if key in large
            for pattern in copy.patterns}  # fmt: skip


def _numbered_per_split(
    keys: Sequence[str], files: Sequence[_File], copies: Sequence[Copy], clusters: NDArray[np.int64] | None
) -> bool:
    """Whether the running numbers of originals restart in every given split, judging by near duplicates.

    If these do not show it, equal numbers count as one group: a wrongly suspected leak costs less than a hidden one.
    """
    if clusters is None or len(_members(clusters.tolist())) < MIN_GROUPS:
        return False
    spanning = [
        members
        for members in _members(keys)
        if len({files[i].split for i in members}) > 1 and any(copies[i].patterns & INDEXED for i in members)
    ]
    confirmed = sum(
        any(len({files[members[i]].split for i in cluster}) > 1 for cluster in _members(clusters[members].tolist()))
        for members in spanning
    )  # fmt: skip
    return confirmed < MIN_CONFIRMED_NUMBERS * len(spanning)


def _copy_keys(files: Sequence[_File], copies: Sequence[Copy], *, per_split: bool = False) -> list[str]:
    """The name of every file's original.

    Names count within a class, since numbers restart in each class; near duplicates still join what belongs together.
    They count within class and split if whole names recur in several splits; running numbers also if `per_split`.
    """
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in files:
        splits[file.label, file.stem].add(file.split)
    recurring = {label for (label, _), names in splits.items() if len(names) > 1}
    keys = []
    for file, copy in zip(files, copies, strict=True):
        within_split = file.label in recurring or (per_split and copy.patterns & INDEXED)
        parts = (file.split if within_split else "", file.label, copy.source)
        keys.append("/".join(part for part in parts if part not in ("", ".")))
    counts, copied = Counter(keys), {key for key, copy in zip(keys, copies, strict=True) if copy.patterns}
    return [key if counts[key] > 1 and key in copied else file.path for key, file in zip(keys, files, strict=True)]


def _implausible_groups(keys: Sequence[str], files: Sequence[_File]) -> set[str]:
    """The groups that contain more than MAX_CLASS_SHARE of a class that is not small."""
    sizes = Counter(file.label for file in files)
    counts = Counter((key, file.label) for key, file in zip(keys, files, strict=True))
    return {
        key
        for (key, label), count in counts.items()
        if sizes[label] > SMALL_CLASS and count > MAX_CLASS_SHARE * sizes[label]
    }


def _plausible_copies(keys: Sequence[str], clusters: NDArray[np.int64] | None) -> bool:
    """Whether groups of copies are numerous enough, and near duplicates confirm them if there are any."""
    groups = _members(keys)
    if len(groups) < MIN_GROUPS:
        return False
    if clusters is None or len(_members(clusters.tolist())) < MIN_GROUPS:
        return True
    confirmed = sum(len(set(clusters[members].tolist())) < len(members) for members in groups)
    return confirmed >= MIN_CONFIRMED_GROUPS * len(groups)


def _plausible_patients(keys: Sequence[str], files: Sequence[_File], clusters: NDArray[np.int64] | None) -> bool:
    """Whether groups of patients are numerous enough, not too large, and agree with near duplicates if any."""
    if len(_members(keys)) < MIN_GROUPS or _implausible_groups(keys, files):
        return False
    if clusters is None:
        return True
    # A copy in another class is a wrong label, not a wrong patient.
    groups = _members([(cluster, file.label) for cluster, file in zip(clusters.tolist(), files, strict=True)])
    within = sum(len({keys[i] for i in members}) == 1 for members in groups)
    return len(groups) < MIN_GROUPS or within >= MIN_AGREEING_CLUSTERS * len(groups)


def _members(keys: Iterable[object]) -> list[list[int]]:
    """The positions of every key that occurs at least twice."""
    positions: dict[object, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        positions[key].append(position)
    return [members for members in positions.values() if len(members) > 1]
