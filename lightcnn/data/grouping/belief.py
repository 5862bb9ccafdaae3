"""Rules of belief: whether groups that a pattern of file names gives are plausible over all files together."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.spelling import same_name

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
MAX_MEDIAN_IMAGES = 20
"""Largest median of the images per group, if numbers name the groups: larger folders are parts of an archive."""
MAX_DISTINCT_NUMBERS = 0.5
"""Largest number of distinct second numbers per file, if they count the images of a group: times of day are all
distinct."""


class FileName(NamedTuple):
    """The path of an image, its name without suffix, its class, and its set of the given split."""

    path: str
    stem: str
    label: str
    split: str


def implausible_groups(keys: Sequence[str], files: Sequence[FileName]) -> set[str]:
    """The groups that contain more than MAX_CLASS_SHARE of a class that is not small."""
    sizes = Counter(file.label for file in files)
    counts = Counter((key, file.label) for key, file in zip(keys, files, strict=True))
    return {
        key
        for (key, label), count in counts.items()
        if sizes[label] > SMALL_CLASS and count > MAX_CLASS_SHARE * sizes[label]
    }


def plausible_copies(keys: Sequence[str], clusters: NDArray[np.int64] | None) -> bool:
    """Whether groups of copies are numerous enough, and near duplicates confirm them if there are any."""
    groups = members_of(keys)
    if len(groups) < MIN_GROUPS:
        return False
    if clusters is None or len(members_of(clusters.tolist())) < MIN_GROUPS:
        return True
    confirmed = sum(len(set(clusters[members].tolist())) < len(members) for members in groups)
    return confirmed >= MIN_CONFIRMED_GROUPS * len(groups)


def few_but_named(ids: Sequence[str], files: Sequence[FileName]) -> bool:
    """Whether at least two patients have several images, and patients are not the classes: too few to be used."""
    pairs = {(id, file.label) for id, file in zip(ids, files, strict=True)}
    return len(members_of(ids)) >= 2 and len(pairs) > len({file.label for file in files})


def plausible_patients(keys: Sequence[str], files: Sequence[FileName], clusters: NDArray[np.int64] | None) -> bool:
    """Whether groups of patients are numerous enough, not too large, and agree with near duplicates if any."""
    if len(members_of(keys)) < MIN_GROUPS or implausible_groups(keys, files):
        return False
    if clusters is None:
        return True
    # A copy in another class is a wrong label, not a wrong patient.
    groups = members_of([(cluster, file.label) for cluster, file in zip(clusters.tolist(), files, strict=True)])
    within = sum(len({keys[i] for i in members}) == 1 for members in groups)
    return len(groups) < MIN_GROUPS or within >= MIN_AGREEING_CLUSTERS * len(groups)


def members_of(keys: Iterable[object]) -> list[list[int]]:
    """The positions of every key that occurs at least twice."""
    positions: dict[object, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        positions[key].append(position)
    return [members for members in positions.values() if len(members) > 1]


def small_groups(keys: Sequence[str]) -> bool:
    """Whether groups are as small as those of one patient: their median is at most MAX_MEDIAN_IMAGES."""
    sizes = [len(members) for members in members_of(keys)]
    return bool(sizes) and float(np.median(sizes)) <= MAX_MEDIAN_IMAGES


def counted_within(numbers: Sequence[str]) -> bool:
    """Whether numbers, one per file, restart in each group: then few of them are distinct."""
    return len(set(numbers)) <= MAX_DISTINCT_NUMBERS * len(numbers)


def named_by_class(numbers: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether what is beside identifiers only repeats the class, as in `17_cat` and `17_dog`; a number does not."""
    named = any(re.search(r"[^\W\d_]", number) for number in numbers)
    return named and len(set(zip(numbers, labels, strict=True))) == len(set(labels))


def only_dates(keys: Iterable[str]) -> bool:
    """Whether all keys are years, months or days behind any words, as 2023, 20230105, 2023-01-05 or img_2023-01."""
    return all(re.fullmatch(r"\D*(?:19|20)\d\d(?:[ _-]?\d\d){0,2}", key) for key in keys)


def is_coarser(values: Sequence[str], groups: Sequence[str]) -> bool:
    """Whether the values, one per image, unite several groups: each group has one value."""
    pairs = set(zip(groups, map(same_name, values), strict=True))
    shared = Counter(value for _, value in pairs if value)
    return len(pairs) == len(set(groups)) and 1 < len(shared) < len(pairs)
