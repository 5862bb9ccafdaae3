"""Which images come from one source: by what the source says, else by file names and near duplicates together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lightcnn.data.dataset import Dataset, Files, GroupSource
from lightcnn.data.grouping.name_groups import NameGroups, name_groups
from lightcnn.data.grouping.near_duplicates import Near, near
from lightcnn.progress import Progress, no_progress

ALONE = "each image counts as its own source"


def grouped(dataset: Dataset, *, progress: Progress = no_progress) -> Dataset:
    """The same data with the groups that are known or can be found, and why these.

    Near duplicates are looked for in small sets only; in larger ones those that an audit has found are used.
    """
    if dataset.groups_from == "source":
        return groups_from_source(dataset)
    search = near(dataset, "some", progress=progress)
    return merge_with_duplicates(dataset, search) if dataset.groups_known else infer_groups(dataset, search)


def groups_from_source(dataset: Dataset) -> Dataset:
    """The groups as the source gives them."""
    why = f"named by the {'manifest' if dataset.groups_from == 'manifest' else 'source'}"
    spanning = _spanning(dataset)
    if spanning:
        why += f"; {spanning:,} {'holds' if spanning == 1 else 'hold'} images of more than one class, which is allowed"
    return dataset.grouped(dataset.groups, dataset.groups_from, why)


def merge_with_duplicates(dataset: Dataset, search: Near) -> Dataset:
    """The groups that the source gives, those joined that hold copies of one photograph.

    A column of running numbers called `group` would otherwise switch off what keeps copies on one side.
    """
    links: list[Sequence[str] | NDArray[np.str_] | NDArray[np.int64]] = [dataset.groups, dataset.pixel_hashes]
    groups = dataset.groups[components(*links, *([] if search.found is None else [search.found.clusters]))]
    merged = len(np.unique(dataset.groups)) - len(np.unique(groups))
    why = groups_from_source(dataset).groups_why + ("" if search.found else f"; {search.why}")
    if not merged:
        return dataset.grouped(dataset.groups, dataset.groups_from, why)
    said = f"{merged:,} of the given groups {_were(merged)} joined to others, with which they share a photograph"
    return _noted(dataset.grouped(groups, dataset.groups_from, f"{why}; {said}"), said)


def infer_groups(dataset: Dataset, search: Near) -> Dataset:
    """Groups from file names, where these can be trusted, joined with near and exact duplicates."""
    clusters = None if search.found is None else search.found.clusters
    names = _names(dataset, clusters)
    links: list[Sequence[str] | NDArray[np.str_] | NDArray[np.int64]] = [dataset.pixel_hashes]
    links += [] if clusters is None else [clusters]
    links += [] if names is None else [names.groups]
    joint = components(*links)
    shared = clusters is not None and len(np.unique(clusters)) < len(clusters)
    sources = (("names",) if names else ()) + (("near duplicates",) if shared else ())
    groups_from: GroupSource = " and ".join(sources) or "none"  # type: ignore[assignment]
    base = names.groups if names else np.array(dataset.paths, dtype=np.str_) if shared else dataset.groups
    groups = base[joint]
    why = "; ".join((*_said(dataset, names), search.why, *_copies(dataset)))
    if sources:
        return dataset.grouped(groups, groups_from, why)
    note = why if dataset.note else f"{ALONE}: {why}"
    return _noted(dataset.grouped(groups, groups_from, note), note)


def components(*keys: Sequence[str] | NDArray[np.str_] | NDArray[np.int64]) -> NDArray[np.int64]:
    """For each image the lowest index among those it is linked to, through whatever two images have the same key in."""
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
    """How many groups hold images of more than one class."""
    pairs = set(zip(dataset.groups.tolist(), dataset.labels.tolist(), strict=True))
    return sum(count > 1 for count in Counter(group for group, _ in pairs).values())


def _names(dataset: Dataset, clusters: NDArray[np.int64] | None) -> NameGroups | None:
    """What the file names tell; arrays have none."""
    if not isinstance(dataset.images, Files):
        return None
    labels = [dataset.classes[label] for label in dataset.labels]
    return name_groups(dataset.paths, labels=labels, split=dataset.split.tolist(), clusters=clusters)


def _said(dataset: Dataset, names: NameGroups | None) -> tuple[str, ...]:
    if names is not None:
        return (names.why,)
    named = isinstance(dataset.images, Files)
    return ("no pattern of copies or patients in the file names" if named else "there are no file names to read",)


def _copies(dataset: Dataset) -> tuple[str, ...]:
    copies = len(dataset) - len(set(dataset.pixel_hashes))
    return (f"{copies:,} {_were(copies)} joined to an image of equal pixels",) if copies else ()


def _noted(dataset: Dataset, note: str) -> Dataset:
    return replace(dataset, note="; ".join(filter(None, (dataset.note, note))))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
