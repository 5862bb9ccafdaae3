"""What is wrong with labelled images, found before anything is trained on them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.auditing.verdict import Counts, command, verdict
from lightcnn.data.dataset import SPLITS, Dataset, Files
from lightcnn.data.grouping.groups import components, groups_from_source, infer_groups, merge_with_duplicates
from lightcnn.data.grouping.near_duplicates import Near, near
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, data_document, split
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Reading
from lightcnn.version import __version__

Cluster = tuple[int, ...]
"""Indices of images that are one, in the order of their paths."""


@dataclass(frozen=True)
class Audit:
    """A data set with its groups, the near duplicates in it, and everything that follows from them."""

    dataset: Dataset
    near: Near
    fast: bool
    seconds: float
    data_dir: str | None = None

    @cached_property
    def exact(self) -> tuple[Cluster, ...]:
        """Images of equal pixels."""
        return self._clusters(components(self.dataset.pixel_hashes))

    @cached_property
    def similar(self) -> tuple[Cluster, ...]:
        """Images verified to show one photograph, those of equal pixels among them; none where nobody looked."""
        return self._clusters(self._alike) if self.near.found else ()

    @cached_property
    def cross_class(self) -> tuple[Cluster, ...]:
        """Exact and near duplicates under more than one class: a label in each is wrong."""
        labels = self.dataset.labels
        return tuple(cluster for cluster in self._clusters(self._alike) if len(set(labels[list(cluster)].tolist())) > 1)

    @cached_property
    def cross_split(self) -> tuple[Cluster, ...]:
        """Images of one source, by groups or duplicates, on more than one side of the split that the source gives."""
        return tuple(c for c in self._clusters(components(self.dataset.groups, self._alike)) if self._sides(c) > 1)

    @cached_property
    def leaked(self) -> NDArray[np.int64]:
        """The images outside train that have a relative in train."""
        split = self.dataset.split
        behind = [np.array(c)[split[list(c)] != "train"] for c in self.cross_split if (split[list(c)] == "train").any()]
        members: NDArray[np.int64] = np.concatenate([np.empty(0, dtype=np.int64), *behind])
        return members[np.flatnonzero(split[members] != "")]

    @cached_property
    def contradicted(self) -> tuple[Cluster, ...]:
        """Exact and near duplicates that the source puts into different groups."""
        groups = self.dataset.groups
        if self.dataset.groups_from not in ("manifest", "source"):
            return ()
        return tuple(c for c in self._clusters(self._alike) if len(set(groups[list(c)].tolist())) > 1)

    @cached_property
    def shared_groups(self) -> list[str]:
        """The names of groups on more than one given side."""
        on: dict[str, set[str]] = {}
        for group, side in zip(self.dataset.groups.tolist(), self.dataset.split.tolist(), strict=True):
            on.setdefault(group, set()).update({side} - {""})
        return sorted(group for group, sides in on.items() if len(sides) > 1)

    @cached_property
    def refused(self) -> str:
        """Why a search cannot cut a split of these images, empty where it can."""
        data = (
            merge_with_duplicates(self.dataset, self.near)
            if self.dataset.groups_from in ("manifest", "source")
            else self.dataset
        )
        try:
            split(data, 0, Reading(resplit=bool(self.cross_split)))
        except DataError as error:
            return str(error).removeprefix(f"data {data.source}: ")
        return ""

    @property
    def own_shapes(self) -> list[tuple[int, int]]:
        """Width and height of every image, in files as they are before they are reduced."""
        images = self.dataset.images
        if isinstance(images, Files):
            return [(file.width, file.height) for file in images.files]
        return [(width, height) for height, width in self.dataset.shapes]

    def document(self) -> dict[str, Any]:
        """report.json."""
        return {
            "lightcnn": __version__,
            "command": "audit",
            "seed": 0,
            "seconds": round(self.seconds, 3),
            "data": self._data(),
            "verdict": verdict(self.dataset, self.near, self.counts(), self.data_dir),
            "train_with": command(self.dataset, self.counts(), self.data_dir),
            "fast": self.fast,
            "counts": self._counted(),
            "classes": self._classes(),
            **self._files(),
            "corrupt": [{"path": path, "reason": reason} for path, reason in self.dataset.skipped],
            "exact_duplicates": self._paths(self.exact),
            "near_searched": self.near.found is not None,
            "near_reason": self.near.why,
            "pairs": 0 if self.near.found is None else len(self.near.found.pairs),
            "near_duplicates": self._paths(self.similar),
            "cross_class": self._paths(self.cross_class),
            "suspects": [self.suspects(cluster) for cluster in self.cross_class],
            "cross_split": self._paths(self.cross_split),
            "leaked": {side: int((self.dataset.split[self.leaked] == side).sum()) for side in ("val", "test")},
            "groups": self._groups(),
        }

    def counts(self) -> Counts:
        """What the verdict counts."""
        shown = {name: (len(clusters), sum(map(len, clusters))) for name, clusters in self.findings().items()}
        sizes = Counter(self.dataset.split.tolist())
        outside = [("test", sizes["test"]), ("val", sizes["val"])]
        side, size = next(((name, count) for name, count in outside if count), ("test", 0))
        return Counts(
            files=len(self.dataset) + len(self.dataset.skipped),
            leaked=int((self.dataset.split[self.leaked] == side).sum()),
            leaked_of=size,
            leaked_side=side,
            imbalance=self._imbalance(),
            contradicted=len(self.contradicted),
            refused=self.refused,
            **shown,
        )

    def findings(self) -> dict[str, tuple[Cluster, ...]]:
        """The clusters of each kind by their key in report.json, the gravest kind first."""
        return {
            "cross_class": self.cross_class,
            "cross_split": self.cross_split,
            "exact_duplicates": self.exact,
            "near_duplicates": self.similar,
        }

    def suspects(self, cluster: Cluster) -> dict[str, Any]:
        """The class that most of a cluster has, null where two have as many, and which images differ from it."""
        labels = Counter(self.dataset.classes[self.dataset.labels[i]] for i in cluster)
        (first, count), *others = labels.most_common()
        majority = None if others and others[0][1] == count else first
        members = [
            {"path": self.dataset.paths[i], "label": label, "split": str(self.dataset.split[i]),
             "suspect": label != majority}
            for i in cluster for label in [self.dataset.classes[self.dataset.labels[i]]]
        ]  # fmt: skip
        return {"majority": majority, "members": members}

    @cached_property
    def _alike(self) -> NDArray[np.int64]:
        hashes = self.dataset.pixel_hashes
        return components(hashes) if self.near.found is None else components(hashes, self.near.found.clusters)

    def _clusters(self, joint: NDArray[np.int64]) -> tuple[Cluster, ...]:
        """The clusters of two or more, each by path, the clusters by their first path."""
        members: dict[int, list[int]] = {}
        for index, first in enumerate(joint.tolist()):
            members.setdefault(first, []).append(index)
        paths = self.dataset.paths
        clusters = [tuple(sorted(c, key=lambda i: paths[i])) for c in members.values() if len(c) > 1]
        return tuple(sorted(clusters, key=lambda cluster: paths[cluster[0]]))

    def _sides(self, cluster: Cluster) -> int:
        return len(set(self.dataset.split[list(cluster)].tolist()) - {""})

    def _paths(self, clusters: Iterable[Cluster]) -> list[list[str]]:
        return [[self.dataset.paths[i] for i in cluster] for cluster in clusters]

    def _imbalance(self) -> float:
        sizes = np.bincount(self.dataset.labels, minlength=len(self.dataset.classes))
        return float(sizes.max() / max(1, sizes.min()))

    def _data(self) -> dict[str, Any]:
        train, val, test = (np.flatnonzero(self.dataset.split == side) for side in SPLITS)
        return data_document(self.dataset, Split(train, val, test))

    def _counted(self) -> dict[str, Any]:
        data, sides = self.dataset, Counter(self.dataset.split.tolist())
        return {
            "files": len(data) + len(data.skipped),
            "images": len(data),
            "corrupt": len(data.skipped),
            "classes": {name: int((data.labels == label).sum()) for label, name in enumerate(data.classes)},
            "split": {side or "not given": count for side, count in sorted(sides.items())},
            **{name: len(clusters) for name, clusters in self.findings().items()},
        }

    def _classes(self) -> dict[str, Any]:
        sizes = np.bincount(self.dataset.labels, minlength=len(self.dataset.classes))
        return {
            "imbalance": self._imbalance(),
            "largest": self.dataset.classes[int(sizes.argmax())],
            "smallest": self.dataset.classes[int(sizes.argmin())],
        }

    def _files(self) -> dict[str, Any]:
        """Sizes, modes and formats as the files have them, before anything is reduced on decoding."""
        data, shapes = self.dataset, np.array(self.own_shapes)
        if isinstance(data.images, Files):
            facts = data.images.files
            modes, formats = Counter(file.mode for file in facts), Counter(file.format for file in facts)
        else:
            modes, formats = Counter({"RGB" if data.channels == 3 else "L": len(data)}), Counter({"array": len(data)})
        ends = {
            name: {"min": int(column.min()), "median": float(np.median(column)), "max": int(column.max())}
            for name, column in (("width", shapes[:, 0]), ("height", shapes[:, 1]))
        }
        sizes = ends | {"distinct": len({tuple(shape) for shape in shapes.tolist()})}
        return {"sizes": sizes, "modes": dict(modes.most_common()), "formats": dict(formats.most_common())}

    def _groups(self) -> dict[str, Any]:
        sizes = Counter(self.dataset.groups.tolist())
        return {
            "source": self.dataset.groups_from,
            "count": len(sizes),
            "largest": max(sizes.values()),
            "why": self.dataset.groups_why,
            "shared_by_given_split": self.shared_groups,
            "contradicted": self._paths(self.contradicted),
        }


def audit(
    source: str, reading: Reading | None = None, *, fast: bool = False, progress: Progress = no_progress
) -> Audit:
    """Reads everything once and looks for what is wrong; files that cannot be read are listed, not refused.

    `fast` leaves near duplicates out. Raises: DataError where there is nothing to look at.
    """
    began = time.monotonic()
    reading = reading or Reading()
    dataset = load(source, reading.model_copy(update={"skip_corrupt": True}), progress=progress)
    done = examine(dataset, fast=fast, progress=progress, began=began)
    return replace(done, data_dir=reading.data_dir)


def examine(
    dataset: Dataset, *, fast: bool = False, progress: Progress = no_progress, began: float | None = None
) -> Audit:
    """The audit of images that have been read."""
    began = time.monotonic() if began is None else began
    searched = near(dataset, "none" if fast else "all", progress=progress)
    known = groups_from_source(dataset) if dataset.groups_known else infer_groups(dataset, searched)
    return Audit(known, searched, fast, time.monotonic() - began)
