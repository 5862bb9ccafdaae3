"""Which images belong together: as the source says, else by file names and near duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lightcnn.data.dataset import Dataset, GroupSource
from lightcnn.data.grouping.given_groups import checked_groups
from lightcnn.data.grouping.name_groups import NameGroups, name_groups, open_question
from lightcnn.data.grouping.near_duplicates import NearDuplicates, find_near_duplicates
from lightcnn.data.image_files import ImageFiles
from lightcnn.output.warnings import ReportWarning
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import ARRAYS, DuplicatesEffort

NO_GROUPS = "each image counts as its own group"
NO_PATIENTS = "patients are unknown, and each photograph with its copies counts as one group"
CHECK = "check groups.csv of an audit, and correct it as a manifest if images are in wrong groups"


def find_groups(dataset: Dataset, effort: DuplicatesEffort = "some", *, progress: Progress = no_progress) -> Dataset:
    """The same data with the groups that are known or can be found, and the reason for them.

    `effort` states among how many images near duplicates are searched for. Groups depend on it and the data alone: the
    cache only saves time.
    """
    if dataset.groups_from == "source" and effort != "none":
        return groups_from_source(dataset)
    search = find_near_duplicates(dataset, effort, progress=progress)
    dataset = dataset.with_warnings(*search.warnings)
    if dataset.groups_from == "source":
        return dataset.with_groups(dataset.groups, "source", f"{_reason_of_source(dataset)}; {search.reason}")
    checked = check_groups(dataset, search)
    return merge_with_duplicates(checked, search) if checked.groups_known else infer_groups(checked, search)


def check_groups(dataset: Dataset, search: NearDuplicates) -> Dataset:
    """The same data without given groups that cannot be true, and with warnings about doubtful ones."""
    return checked_groups(dataset, _names(dataset, _clusters(search))) if dataset.groups_from == "manifest" else dataset


def groups_from_source(dataset: Dataset) -> Dataset:
    """The same data with the groups that the source gives."""
    return dataset.with_groups(dataset.groups, dataset.groups_from, _reason_of_source(dataset))


def _reason_of_source(dataset: Dataset) -> str:
    """Who gave the groups, and how many of them contain images of several classes."""
    giver = "the manifest" if dataset.groups_from == "manifest" else "the source"
    reason = "given with the images" if dataset.source == ARRAYS else f"given by {giver}"
    spanning = _spanning(dataset)
    if spanning:
        verb = "contains" if spanning == 1 else "contain"
        reason += f"; {spanning:,} {verb} images of more than one class, which is allowed"
    return reason


def merge_with_duplicates(dataset: Dataset, search: NearDuplicates) -> Dataset:
    """The groups that the source gives; groups with copies of the same photograph are joined.

    Otherwise a column of row numbers called `group` would disable what keeps copies in the same set. Images of a single
    colour join none: an empty slice of each patient would make all patients one group.
    """
    links: list[Sequence[str] | NDArray[Any]] = [dataset.groups, dataset.shown_hashes]
    groups = dataset.groups[linked_images(*links, *([] if search.similar is None else [search.similar.clusters]))]
    merged = len(np.unique(dataset.groups)) - len(np.unique(groups))
    reason = _reason_of_source(dataset) + ("" if search.similar else f"; {search.reason}")
    if not merged:
        return dataset.with_groups(dataset.groups, dataset.groups_from, reason)
    joined = f"{merged:,} of the given groups {_were(merged)} joined to others that contain the same photograph"
    return _with_note(dataset.with_groups(groups, dataset.groups_from, f"{reason}; {joined}"), joined)


def infer_groups(dataset: Dataset, search: NearDuplicates) -> Dataset:
    """Groups inferred from file names, if these are plausible, joined with near and exact duplicates."""
    clusters = _clusters(search)
    names = _names(dataset, clusters)
    links: list[Sequence[str] | NDArray[Any]] = [dataset.shown_hashes]
    links += [] if clusters is None else [clusters]
    links += [] if names is None else [names.groups]
    firsts = linked_images(*links)
    has_duplicates = clusters is not None and len(np.unique(clusters)) < len(clusters)
    sources = (("names",) if names else ()) + (("near duplicates",) if has_duplicates else ())
    groups_from: GroupSource = " and ".join(sources) or "none"  # type: ignore[assignment]
    is_named = has_duplicates and isinstance(dataset.images, ImageFiles)
    base = names.groups if names else np.array(dataset.paths, dtype=np.str_) if is_named else dataset.groups
    groups = base[firsts]
    reason = "; ".join((_format_names(dataset, names), search.reason, *_format_copies(dataset)))
    if names:
        message = f"Groups were inferred: {names.reason}; {CHECK}."
        warning = ReportWarning("groups_inferred", message, len(dataset))
        return dataset.with_groups(groups, groups_from, reason).with_warnings(warning, *_open_question(dataset, names))
    warned = dataset.with_warnings(*_open_question(dataset))
    note = reason if dataset.note else f"{NO_PATIENTS if sources else NO_GROUPS}: {reason}"
    return _with_note(warned.with_groups(groups, groups_from, note), note)


def linked_images(*keys: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
    """For each image the lowest index among the images that it is linked to, directly or through others, (N,).

    `keys` are arrays (N,): two images are linked if their values in any of them are equal.
    """
    count = len(keys[0])
    images, nodes, offset = [], [], count
    for values in keys:
        _, codes = np.unique(np.asarray(values), return_inverse=True)
        images.append(np.arange(count))
        nodes.append(codes + offset)
        offset += int(codes.max(initial=-1)) + 1
    ends = np.concatenate(images), np.concatenate(nodes)
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(offset, offset))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels[:count], return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def _spanning(dataset: Dataset) -> int:
    """How many groups contain images of more than one class."""
    pairs = set(zip(dataset.groups.tolist(), dataset.labels.tolist(), strict=True))
    return sum(count > 1 for count in Counter(group for group, _ in pairs).values())


def _names(dataset: Dataset, clusters: NDArray[np.int64] | None) -> NameGroups | None:
    """Groups inferred from file names; None for arrays, and if the names are not plausible."""
    if not isinstance(dataset.images, ImageFiles):
        return None
    labels = [dataset.classes[label] for label in dataset.labels]
    return name_groups(dataset.paths, labels=labels, split=dataset.split.tolist(), clusters=clusters)


def _open_question(dataset: Dataset, names: NameGroups | None = None) -> list[ReportWarning]:
    """A warning if names or folders may identify patients; or patients of several groups of `names`, unless sure."""
    if not isinstance(dataset.images, ImageFiles) or (names and names.sure):
        return []
    labels = [dataset.classes[label] for label in dataset.labels]
    groups = names.groups.tolist() if names else None
    question = open_question(dataset.paths, labels, dataset.split.tolist(), groups)
    united = ", and each is in several of the inferred groups" if names else ""
    message = f"{question}{united}: if these are patients, list them in the column 'group' of a manifest."
    return [ReportWarning("groups_possible", message, len(dataset))] if question else []


def _clusters(search: NearDuplicates) -> NDArray[np.int64] | None:
    return None if search.similar is None else search.similar.clusters


def _format_names(dataset: Dataset, names: NameGroups | None) -> str:
    """A clause on what the file names show."""
    if names is not None:
        return names.reason
    if isinstance(dataset.images, ImageFiles):
        return "the file names show no groups of copies or patients"
    return "the images have no file names"


def _format_copies(dataset: Dataset) -> tuple[str, ...]:
    copies = len(dataset) - len(np.unique(dataset.shown_hashes))
    return (f"{copies:,} {_were(copies)} joined to an image with equal pixels",) if copies else ()


def _with_note(dataset: Dataset, note: str) -> Dataset:
    return replace(dataset, note="; ".join(filter(None, (dataset.note, note))))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
