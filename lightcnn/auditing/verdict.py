"""The verdict of an audit: one paragraph that states what is wrong, how bad it is, and the command to train with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np

from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.near_duplicates import MAX_IMAGES_BY_DEFAULT, NearDuplicates
from lightcnn.data.split import SPLIT_TITLES
from lightcnn.output.caveats import STAND_IN_AUDIT, group_unit

IMBALANCE_RATIO = 10
"""Ratio of the largest to the smallest class from which on accuracy alone is misleading."""
GROUP_ORIGINS = {"names": "names of files and folders"}
"""Words for values of `Dataset.groups_from`; other values are words already."""


@dataclass(frozen=True)
class FindingCounts:
    """How much was found: for each kind the number of clusters and of the images in them, and how severe it is."""

    files: int
    cross_class: tuple[int, int]
    cross_split: tuple[int, int]
    exact_duplicates: tuple[int, int]
    near_duplicates: tuple[int, int]
    leaked: int
    leaked_of: int
    leaked_split: str
    imbalance: float
    contradicted: int
    split_error: str
    """Why no split can be made, as in the error message of a search; empty if one can."""


@dataclass(frozen=True)
class Verdict:
    """The sentences of an audit by their weight.

    `stand_in` is empty for photographs; `severe` must be fixed, and is empty if `opening` states that nothing must be;
    `minor` should be known; `lead` precedes the `command` to train with.
    """

    stand_in: str
    opening: str
    severe: list[str]
    minor: list[str]
    groups: str
    lead: str
    command: str

    def __str__(self) -> str:
        """One paragraph, which ends with the command to train with."""
        first = filter(None, (self.stand_in, self.opening))
        return " ".join((*first, *self.severe, *self.minor, self.groups, f"{self.lead}: {self.command}"))


def verdict(dataset: Dataset, near: NearDuplicates, counts: FindingCounts, data_dir: str | None = None) -> Verdict:
    """What is wrong with the images, how bad it is, and the command to train with."""
    problems = (_corrupt(dataset, counts), _one_colour(dataset), _labels(counts), _leak(counts), _split_error(counts))
    severe = [sentence for sentence in problems if sentence]
    limit = "" if near.similar else ", as far as this audit checked"
    return Verdict(
        stand_in=STAND_IN_AUDIT if dataset.stand_in else "",
        opening="" if severe else f"No problem that must be fixed was found in {counts.files:,} images{limit}.",
        severe=severe,
        minor=[text for text in (_copies(near, counts), _contradicted(counts), _imbalance(counts)) if text],
        groups=_groups(dataset),
        lead=_lead(dataset, near, counts),
        command=training_command(dataset, near, counts, data_dir),
    )


def training_command(dataset: Dataset, near: NearDuplicates, counts: FindingCounts, data_dir: str | None = None) -> str:
    """The command that trains on these images, with the options that the findings require."""
    resplit = " --resplit" if counts.cross_split[0] else ""
    skip = " --skip-corrupt" if dataset.skipped else ""
    thorough = " --thorough" if near.similar and len(dataset) > MAX_IMAGES_BY_DEFAULT else ""
    where = f" --data-dir {shlex.quote(data_dir)}" if data_dir else ""
    return f"lightcnn search --budget 1MFLOPs --data {shlex.quote(dataset.source)}{where}{resplit}{skip}{thorough}"


def _lead(dataset: Dataset, near: NearDuplicates, counts: FindingCounts) -> str:
    """The words before the command: safe only after a search for near duplicates, with undoubted groups."""
    if counts.split_error:
        return "These images cannot be trained on as they are; after fixing them, train with"
    doubts = {warning.code for warning in dataset.warnings} & {"identity_columns", "groups_contradicted"}
    return "Train safely with" if near.similar and dataset.groups_known and not doubts else "Train with"


def _corrupt(dataset: Dataset, counts: FindingCounts) -> str:
    bad = len(dataset.skipped)
    if not bad:
        return ""
    remedy = "repair or remove them, or leave them out with --skip-corrupt"
    return f"{bad:,} of {counts.files:,} files cannot be used: {remedy}."


def _one_colour(dataset: Dataset) -> str:
    blank = np.flatnonzero(dataset.one_colour)
    if not len(blank):
        return ""
    return (
        f"{_count(len(blank), 'image has', 'images have')} a single colour ({dataset.paths[blank[0]]}), and so "
        f"{'shows' if len(blank) == 1 else 'show'} nothing: repair or remove such images."
    )


def _labels(counts: FindingCounts) -> str:
    clusters, images = counts.cross_class
    if not clusters:
        return ""
    return (
        f"{_count(clusters, 'photograph appears', 'photographs appear')} under more than one class ({images:,} images "
        "in total): at least one label of each is wrong, which limits the score that any network can reach; correct or "
        "remove these images first (the report shows them with their labels)."
    )


def _leak(counts: FindingCounts) -> str:
    clusters, images = counts.cross_split
    if not clusters:
        return ""
    share = f" ({counts.leaked / counts.leaked_of:.0%})" if counts.leaked_of else ""
    effect = (
        f"; {counts.leaked:,} of the {counts.leaked_of:,} images of its {SPLIT_TITLES[counts.leaked_split]}{share} "
        "share a group with training images, so that scores on it are too high"
    )
    return (
        f"The given split leaks: {_count(clusters, 'group has', 'groups have')} images in more than one of its sets "
        f"({images:,} images){effect if counts.leaked else ''}; do not use it, make a new split with --resplit."
    )


def _split_error(counts: FindingCounts) -> str:
    return f"No split can be made: {counts.split_error}." if counts.split_error else ""


def _copies(near: NearDuplicates, counts: FindingCounts) -> str:
    clusters, images = counts.near_duplicates
    exact_clusters, files = counts.exact_duplicates
    exact = f"{files:,} images have pixels identical to another's" if exact_clusters else "no two images are identical"
    if near.similar is None:
        return f"{exact[0].upper()}{exact[1:]}; {near.reason}."
    if not clusters:
        return "No image is a near duplicate of another."
    copies = f"{images:,} images are near duplicates of others, in {_count(clusters, 'cluster', 'clusters')}"
    return f"{copies} ({exact}): every split that lightcnn makes keeps each cluster in one set."


def _contradicted(counts: FindingCounts) -> str:
    if not counts.contradicted:
        return ""
    return (
        f"{_count(counts.contradicted, 'photograph is', 'photographs are')} in several groups of the source, as "
        "duplicates: a split joins these groups; check whether they are one patient, and correct the manifest."
    )


def _imbalance(counts: FindingCounts) -> str:
    if counts.imbalance < IMBALANCE_RATIO:
        return ""
    times = f"{counts.imbalance:.0f} times"
    return f"The largest class has {times} as many images as the smallest: judge by balanced accuracy."


def _groups(dataset: Dataset) -> str:
    if not dataset.groups_known:
        return (
            f"It is not known which images come from one patient or place, so {group_unit(dataset.groups_from)} counts "
            "as a group of its own; if you know it, state it in a manifest (path,label,group)."
        )
    if dataset.groups_from in ("manifest", "source"):
        return f"Groups are {dataset.groups_reason}."
    return f"Groups come from {GROUP_ORIGINS.get(dataset.groups_from, dataset.groups_from)}: {dataset.groups_reason}."


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"
