"""The findings of an audit as one paragraph: what is wrong, how bad it is, and the command that trains safely."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.near_duplicates import NearDuplicates

IMBALANCED = 10
"""From this ratio of the largest to the smallest class on, accuracy alone says little."""


@dataclass(frozen=True)
class Counts:
    """What was found: clusters and the images in them for each kind, and numbers that say how bad it is."""

    files: int
    cross_class: tuple[int, int]
    cross_split: tuple[int, int]
    exact_duplicates: tuple[int, int]
    near_duplicates: tuple[int, int]
    leaked: int
    leaked_of: int
    leaked_side: str
    imbalance: float
    contradicted: int
    refused: str
    """Why a split cannot be cut, in the words of the error that a search ends with; empty where it can."""


def verdict(dataset: Dataset, near: NearDuplicates, counts: Counts, data_dir: str | None = None) -> str:
    """One paragraph in plain words."""
    faults = (_corrupt(dataset, counts), _labels(counts), _leak(counts), _refused(counts))
    wrong = [sentence for sentence in faults if sentence]
    lesser = [sentence for sentence in (_copies(near, counts), _contradicted(counts), _imbalance(counts)) if sentence]
    looked = "" if near.similar else ", as far as this audit looked"
    opening = [] if wrong else [f"Nothing that must be mended was found in {counts.files:,} images{looked}."]
    drawn = ["STAND-IN: these images are drawn by code, not photographs."] * dataset.stand_in
    last = f"{_lead(near, counts)}: {command(dataset, counts, data_dir)}"
    return " ".join((*drawn, *opening, *wrong, *lesser, _groups(dataset), last))


def command(dataset: Dataset, counts: Counts, data_dir: str | None = None) -> str:
    """The command that trains on what was found."""
    resplit = " --resplit" if counts.cross_split[0] else ""
    skip = " --skip-corrupt" if dataset.skipped else ""
    where = f" --data-dir {shlex.quote(data_dir)}" if data_dir else ""
    return f"lightcnn search --budget 1MFLOPs --data {shlex.quote(dataset.source)}{where}{resplit}{skip}"


def _lead(near: NearDuplicates, counts: Counts) -> str:
    """What stands before the command: it is safe only where it runs, and where copies were looked for."""
    if counts.refused:
        return "As it is, this cannot be trained on; once it is mended, train with"
    return "Train safely with" if near.similar else "Train with"


def _corrupt(dataset: Dataset, counts: Counts) -> str:
    bad = len(dataset.skipped)
    if not bad:
        return ""
    remedy = "repair or remove them, or leave them out with --skip-corrupt"
    return f"{bad:,} of {counts.files:,} files cannot be used: {remedy}."


def _labels(counts: Counts) -> str:
    clusters, images = counts.cross_class
    if not clusters:
        return ""
    return (
        f"{_count(clusters, 'photograph stands', 'photographs stand')} under more than one class, {images:,} images in "
        "all: at least one label of each is wrong, which caps what any network can score; correct or remove them first "
        "(the report shows each with its labels)."
    )


def _leak(counts: Counts) -> str:
    clusters, images = counts.cross_split
    if not clusters:
        return ""
    share = f" ({counts.leaked / counts.leaked_of:.0%})" if counts.leaked_of else ""
    seen = (
        f"; {counts.leaked:,} of the {counts.leaked_of:,} images of its {counts.leaked_side} side{share} have a "
        "relative in train, so that scores on it are flattered"
    )
    return (
        f"The given split leaks: {_count(clusters, 'source has', 'sources have')} images on more than one side "
        f"({images:,} images){seen if counts.leaked else ''}; do not use it, cut it anew with --resplit."
    )


def _refused(counts: Counts) -> str:
    return f"No split can be cut: {counts.refused}." if counts.refused else ""


def _copies(near: NearDuplicates, counts: Counts) -> str:
    clusters, images = counts.near_duplicates
    same, files = counts.exact_duplicates
    exact = f"{files:,} images have the pixels of another" if same else "no two images have equal pixels"
    if near.similar is None:
        return f"{exact[0].upper()}{exact[1:]}; {near.reason}."
    if not clusters:
        return "No image is a near duplicate of another."
    found = f"{images:,} images are near duplicates of others, in {_count(clusters, 'cluster', 'clusters')}"
    return f"{found} ({exact}): they stay on one side of every split that lightcnn cuts."


def _contradicted(counts: Counts) -> str:
    if not counts.contradicted:
        return ""
    return (
        f"{_count(counts.contradicted, 'photograph stands', 'photographs stand')} in several groups of the source, as "
        "duplicates: a split joins these groups; see whether they are one patient, and say so in the manifest."
    )


def _imbalance(counts: Counts) -> str:
    if counts.imbalance < IMBALANCED:
        return ""
    times = f"{counts.imbalance:.0f} times"
    return f"The largest class has {times} as many images as the smallest: judge by balanced accuracy."


def _groups(dataset: Dataset) -> str:
    if not dataset.groups_known:
        return (
            "Which images come from one patient or place is not known, so each counts as its own; if you know it, "
            "say so in a manifest (path,label,group)."
        )
    if dataset.groups_from in ("manifest", "source"):
        return f"Groups are {dataset.groups_reason}."
    return f"Groups come from {_SOURCES.get(dataset.groups_from, dataset.groups_from)}: {dataset.groups_reason}."


_SOURCES = {"names": "the file names", "names and near duplicates": "the file names and near duplicates"}


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
