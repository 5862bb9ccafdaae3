"""What is wrong with labelled images: duplicates, contradictory labels, and splits that share groups."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.auditing.settings import FINDINGS
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import (
    check_groups,
    groups_from_source,
    infer_groups,
    linked_images,
    merge_with_duplicates,
)
from lightcnn.data.grouping.near_duplicates import NearDuplicates, find_near_duplicates
from lightcnn.data.image_files import ImageFiles
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Reading

Cluster = tuple[int, ...]
"""Indices of images that belong together, in the order of their paths."""
GROUPS_BY_HAND = ("manifest", "source")
"""Values of `Dataset.groups_from` for groups that the data set states itself."""


@dataclass(frozen=True)
class Audit:
    """A data set, its groups and near duplicates, and the problems that follow from them."""

    dataset: Dataset
    near: NearDuplicates
    fast: bool
    seconds: float
    data_dir: str | None = None

    @cached_property
    def exact_duplicates(self) -> tuple[Cluster, ...]:
        """Images with identical pixels."""
        return self._clusters(linked_images(self.dataset.pixel_hashes))

    @cached_property
    def near_duplicates(self) -> tuple[Cluster, ...]:
        """Images verified to show one photograph, including identical pixels; empty if they were not searched for."""
        return self._clusters(self._photographs) if self.near.similar else ()

    @cached_property
    def cross_class(self) -> tuple[Cluster, ...]:
        """Exact and near duplicates under more than one class: a label in each cluster is wrong."""
        labels = self.dataset.labels
        return tuple(cluster for cluster in self._shown_twice if len(set(labels[list(cluster)].tolist())) > 1)

    @cached_property
    def cross_split(self) -> tuple[Cluster, ...]:
        """Images of one group, by name or as duplicates, in more than one set of the split that the source gives."""
        near = [] if self.near.similar is None else [self.near.similar.clusters]
        clusters = self._clusters(linked_images(self.dataset.groups, self.dataset.shown_hashes, *near))
        return tuple(cluster for cluster in clusters if self._split_count(cluster) > 1)

    @cached_property
    def leaked(self) -> NDArray[np.int64]:
        """The images outside the training set that share a group with training images."""
        split = self.dataset.split
        outside = [
            np.array(c)[split[list(c)] != "train"] for c in self.cross_split if (split[list(c)] == "train").any()
        ]
        members: NDArray[np.int64] = np.concatenate([np.empty(0, dtype=np.int64), *outside])
        return members[np.flatnonzero(split[members] != "")]

    @cached_property
    def contradicted(self) -> tuple[Cluster, ...]:
        """Exact and near duplicates that the source puts into different groups."""
        groups = self.dataset.groups
        if self.dataset.groups_from not in GROUPS_BY_HAND:
            return ()
        return tuple(cluster for cluster in self._shown_twice if len(set(groups[list(cluster)].tolist())) > 1)

    @cached_property
    def shared_groups(self) -> list[str]:
        """The names of groups in more than one set of the given split."""
        splits: dict[str, set[str]] = {}
        for group, split_name in zip(self.dataset.groups.tolist(), self.dataset.split.tolist(), strict=True):
            splits.setdefault(group, set()).update({split_name} - {""})
        return sorted(group for group, names in splits.items() if len(names) > 1)

    @cached_property
    def split_error(self) -> str:
        """Why a search cannot make a split of these images; empty if it can."""
        by_hand = self.dataset.groups_from in GROUPS_BY_HAND
        data = merge_with_duplicates(self.dataset, self.near) if by_hand else self.dataset
        try:
            make_split(data, 0, Reading(resplit=bool(self.cross_split)))
        except DataError as error:
            return str(error).removeprefix(f"data {data.source}: ")
        return ""

    @property
    def file_shapes(self) -> NDArray[np.integer[Any]]:
        """Width and height of every image as stored in its file, before it is reduced, (N, 2); arrays are reduced."""
        images = self.dataset.images
        if isinstance(images, ImageFiles):
            return images.facts.sizes
        return self.dataset.shapes[:, ::-1]

    @property
    def imbalance(self) -> float:
        """How many times as many images the largest class has as the smallest."""
        sizes = np.bincount(self.dataset.labels, minlength=len(self.dataset.classes))
        return float(sizes.max() / max(1, sizes.min()))

    def findings(self) -> dict[str, tuple[Cluster, ...]]:
        """The clusters of each kind, in the order of `FINDINGS`."""
        return {name: getattr(self, name) for name in FINDINGS}

    def suspects(self, cluster: Cluster) -> dict[str, Any]:
        """The most frequent class of a cluster, None if two are equally frequent, and which images differ from it."""
        labels = Counter(self.dataset.classes[self.dataset.labels[i]] for i in cluster)
        (first, count), *others = labels.most_common()
        majority = None if others and others[0][1] == count else first
        members = [
            {"path": self.dataset.paths[i], "label": label, "split": str(self.dataset.split[i]),
             "suspect": label != majority}
            for i in cluster for label in [self.dataset.classes[self.dataset.labels[i]]]
        ]  # fmt: skip
        return {"majority": majority, "members": members}

    def paths(self, clusters: Iterable[Cluster]) -> list[list[str]]:
        """The clusters with the paths of their images."""
        return [[self.dataset.paths[i] for i in cluster] for cluster in clusters]

    @cached_property
    def _photographs(self) -> NDArray[np.int64]:
        """For every image the first one that shows the same photograph."""
        hashes = self.dataset.pixel_hashes
        return linked_images(hashes) if self.near.similar is None else linked_images(hashes, self.near.similar.clusters)

    @cached_property
    def _shown_twice(self) -> tuple[Cluster, ...]:
        """Exact and near duplicates, except images of a single colour, which are equal because they show nothing."""
        blank = self.dataset.one_colour
        return tuple(cluster for cluster in self._clusters(self._photographs) if not blank[list(cluster)].all())

    def _clusters(self, first_members: NDArray[np.int64]) -> tuple[Cluster, ...]:
        """Clusters of two or more images, ordered by path, from the first image of the cluster of each image."""
        members: dict[int, list[int]] = {}
        for index, first in enumerate(first_members.tolist()):
            members.setdefault(first, []).append(index)
        paths = self.dataset.paths
        clusters = [tuple(sorted(c, key=lambda i: paths[i])) for c in members.values() if len(c) > 1]
        return tuple(sorted(clusters, key=lambda cluster: paths[cluster[0]]))

    def _split_count(self, cluster: Cluster) -> int:
        """In how many sets of the given split a cluster has images."""
        return len(set(self.dataset.split[list(cluster)].tolist()) - {""})


def examine_source(
    source: str, reading: Reading | None = None, *, fast: bool = False, progress: Progress = no_progress
) -> Audit:
    """Reads all images of a source and examines them; files that cannot be read are listed, not refused.

    `fast` omits the search for near duplicates. Raises: DataError if the source has no usable image.
    """
    start = time.monotonic()
    reading = reading or Reading()
    dataset = load(source, reading.model_copy(update={"skip_corrupt": True}), progress=progress)
    audit = examine(dataset, fast=fast, progress=progress, start=start)
    return replace(audit, data_dir=reading.data_dir)


def examine(
    dataset: Dataset, *, fast: bool = False, progress: Progress = no_progress, start: float | None = None
) -> Audit:
    """Examines images that have been read. `start`: when reading began, by `time.monotonic()`."""
    start = time.monotonic() if start is None else start
    given = np.flatnonzero(dataset.split == "train")
    dataset = dataset.scaled_to(given if len(given) else np.arange(len(dataset)))
    duplicates = find_near_duplicates(dataset, "none" if fast else "all", progress=progress)
    dataset = dataset.with_warnings(*duplicates.warnings)
    checked = check_groups(dataset, duplicates)
    grouped = groups_from_source(checked) if checked.groups_known else infer_groups(checked, duplicates)
    return Audit(grouped, duplicates, fast, time.monotonic() - start)
