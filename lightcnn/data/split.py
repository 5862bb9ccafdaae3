"""Splits of a dataset into training, validation and test set, with each group in one set only; set by one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import SPLIT_NAMES, Dataset, require_every_class
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning, warning_documents
from lightcnn.recipe import Reading

TEST_SHARE, VAL_SHARE = 0.2, 0.15
"""Share of all images in a new test set, and share of the others in a new validation set."""
MAX_SET_IMAGES = 10_000
"""Most images of a new validation or test set: more cost time and make the scores little more precise."""
CALIBRATION_IMAGES = 256
"""About as many training images calibrate a network in 8 bits."""
SPLIT_TITLES = {"val": "validation set", "test": "test set"}
MAX_LISTED = 5
"""Most names that an error lists."""


@dataclass(frozen=True)
class Split:
    """Indices into a dataset, ascending. `leak_allowed`: groups overlap between sets, and the user allowed it."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    leak_allowed: bool = False

    def counts(self) -> dict[str, int]:
        """Number of images per set."""
        return {name: len(getattr(self, name)) for name in SPLIT_NAMES}

    def groups_shared(self, dataset: Dataset) -> int:
        """How many groups are in more than one set, counted on this split."""
        return len(shared_groups([dataset.groups[getattr(self, name)] for name in SPLIT_NAMES]))


def make_split(dataset: Dataset, seed: int, reading: Reading | None = None) -> Split:
    """Training, validation and test set, disjoint by group and stratified by class as far as the groups allow.

    A split that the source gives is used, and sets that it lacks are split off from its training set. With
    `reading.folds`, the test set is fold `reading.fold`, and a given split is ignored.

    Raises: DataError if the sets of a given split share groups, and `reading` neither allows that nor asks for a new
    split; also if a class has too few groups to be in every set.
    """
    reading = reading or Reading()
    seed = seed if reading.split_seed is None else reading.split_seed
    require_every_class(dataset, new_split=reading.resplit or bool(reading.folds))
    if reading.folds:
        return folds(dataset, reading.folds, seed)[reading.fold - 1]
    given = _given_sets(dataset, reading)
    shared = shared_groups([dataset.groups[given[name]] for name in SPLIT_NAMES])
    if shared and not reading.allow_leak:
        raise DataError(
            f"data {dataset.source}: {len(shared)} {_plural(len(shared), 'group')} ({_format_names(shared)}) with "
            "images in more than one set of the given split; make a new split with --resplit, or use it unchanged with "
            "--allow-leak"
        )
    missing = [name for name in ("test", "val") if not len(given[name])]
    shares = _shares(missing, len(given["train"]))
    parts = _partition(dataset, given["train"], shares, [seed, 1])
    given |= dict(zip(("train", *missing), parts, strict=True))
    train, val, test = (np.sort(given[name]) for name in SPLIT_NAMES)
    return Split(train, val, test, leak_allowed=bool(shared))


def _given_sets(dataset: Dataset, reading: Reading) -> dict[str, NDArray[np.int64]]:
    """The indices of the sets that the source gives; all in train if it gives none, or `reading` ignores them."""
    given = {name: np.flatnonzero(dataset.split == name) for name in SPLIT_NAMES}
    if len(given["train"]) and not reading.resplit:
        return given
    indices = np.arange(len(dataset))
    return {"train": indices, "val": indices[:0], "test": indices[:0]}


def folds(dataset: Dataset, count: int, seed: int) -> list[Split]:
    """`count` splits whose test sets are disjoint by group and together contain all images; a given split is ignored.

    Raises: DataError if a class has fewer groups than there are folds.
    """
    if count < 2:
        raise DataError(f"data {dataset.source}: {count} folds; give two or more")
    tests = _partition(dataset, np.arange(len(dataset)), [1 / count] * count, [seed, 3], "folds")
    splits = []
    for number, test in enumerate(tests):
        rest = np.sort(np.concatenate([fold for fold in tests if fold is not test]))
        train, val = _partition(dataset, rest, _shares(["val"], len(rest)), [seed, 4, number])
        splits.append(Split(np.sort(train), np.sort(val), np.sort(test)))
    return splits


def data_document(dataset: Dataset, split: Split) -> dict[str, Any]:
    """The `data` of a report.json."""
    groups = {name: len(np.unique(dataset.groups[getattr(split, name)])) for name in SPLIT_NAMES}
    return {
        "source": dataset.source,
        "stand_in": dataset.stand_in,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "counts": split.counts(),
        "groups": {
            "known": dataset.groups_known,
            "source": dataset.groups_from,
            "why": dataset.groups_reason,
            "counts": groups,
        },
        "groups_shared": split.groups_shared(dataset),
        "leak_allowed": split.leak_allowed,
        "skipped": len(dataset.skipped),
        "warnings": warning_documents((*dataset.warnings, *_missing_classes(dataset, split))),
        "note": dataset.note,
    }


def _missing_classes(dataset: Dataset, split: Split) -> list[ReportWarning]:
    """A warning if the validation or test set has no image of some classes, which only a given split can cause."""
    sets, count = [], 0
    for name, title in SPLIT_TITLES.items():
        present = np.unique(dataset.labels[getattr(split, name)])
        missing = len(dataset.classes) - len(present)
        if len(present) and missing:
            names = _format_names([dataset.classes[label] for label in present])
            sets.append(f"the {title} has images of only {len(present)} of {len(dataset.classes)} classes ({names})")
            count = max(count, missing)
    message = f"In the given split, {' and '.join(sets)}: scores on it do not show how well classes are distinguished."
    return [ReportWarning("classes_missing", message, count)] if sets else []


def subset(dataset: Dataset, indices: NDArray[np.int64], max_images: int, seed: int) -> NDArray[np.int64]:
    """About `max_images` of `indices` at random, stratified by class, ascending; all if they are no more."""
    if len(indices) <= max_images:
        return indices
    random = np.random.default_rng([seed, 2])
    labels = dataset.labels[indices]
    chosen = []
    for label in np.unique(labels):
        members = random.permutation(indices[labels == label])
        chosen.append(members[: max(1, round(max_images * len(members) / len(indices)))])
    return np.sort(np.concatenate(chosen))


def calibration_set(dataset: Dataset, split: Split) -> NDArray[np.int64]:
    """The training images whose activations give the ranges of a network in 8 bits: some of each class, ascending."""
    return subset(dataset, split.train, CALIBRATION_IMAGES, 0)


def shared_groups(sets: Sequence[NDArray[np.str_]]) -> list[str]:
    """The groups that are in more than one of the sets, in order; each set is given by its images' groups (N,)."""
    names, counts = np.unique(np.concatenate([np.unique(groups) for groups in sets]), return_counts=True)
    return [str(name) for name in names[counts > 1]]


def _shares(split_names: Sequence[str], count: int) -> list[float]:
    """The share of `count` images that stays in train, and the shares of the named sets."""
    test = min(TEST_SHARE, MAX_SET_IMAGES / count) if "test" in split_names else 0.0
    val = min(VAL_SHARE * (1 - test), MAX_SET_IMAGES / count)
    shares = [{"test": test, "val": val}[name] for name in split_names]
    return [1 - sum(shares), *shares]


def _partition(
    dataset: Dataset, indices: NDArray[np.int64], shares: Sequence[float], key: Sequence[int], what: str = "sets"
) -> list[NDArray[np.int64]]:
    """`indices` in as many parts as there are shares, with each group in one part and each class in every part.

    The largest groups are assigned first, each to the part that lacks its classes most; groups of one image fill up.
    """
    names, codes = np.unique(dataset.groups[indices], return_inverse=True)
    table = _GroupTable.of(codes, dataset.labels[indices], len(names), len(dataset.classes))
    _require_groups(dataset, table, len(shares), what)
    parts = _assigned_parts(table, np.asarray(shares), np.random.default_rng(key))
    _move_missing_classes(dataset, table, parts, len(shares))
    return [indices[parts[codes] == part] for part in range(len(shares))]


@dataclass(frozen=True)
class _GroupTable:
    """How many images of each class each group has, without zeros: one entry for each class of each group.

    `groups`, `labels` and `counts` (entries,) are in the order of the groups, whose first entries are `starts`
    (groups + 1,). A table of all groups and classes would need 8 GB for a million groups and 1,000 classes.
    """

    groups: NDArray[np.int64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, codes: NDArray[np.int64], labels: NDArray[np.int64], groups: int, classes: int) -> _GroupTable:
        """The table of images whose groups have these numbers (N,), and which have these labels (N,)."""
        keys, counts = np.unique(codes * classes + labels, return_counts=True)
        rows = keys // classes
        return cls(rows, keys % classes, counts, np.searchsorted(rows, np.arange(groups + 1)), classes)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def totals(self) -> NDArray[np.int64]:
        """The number of images of each class, (classes,)."""
        return np.bincount(self.labels, self.counts, self.classes).astype(np.int64)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of images of each group, (groups,)."""
        return np.bincount(self.groups, self.counts, len(self)).astype(np.int64)

    @property
    def groups_per_class(self) -> NDArray[np.int64]:
        """The number of groups with images of each class, (classes,)."""
        return np.bincount(self.labels, minlength=self.classes)

    def classes_of(self, group: int) -> NDArray[np.int64]:
        """The classes of a group's images, ascending."""
        return self.labels[self.starts[group] : self.starts[group + 1]]

    def row(self, group: int) -> NDArray[np.int64]:
        """The number of images of each class in a group, (classes,)."""
        row = np.zeros(self.classes, dtype=np.int64)
        row[self.classes_of(group)] = self.counts[self.starts[group] : self.starts[group + 1]]
        return row


def _assigned_parts(table: _GroupTable, shares: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """The part of every group (groups,)."""
    totals, sizes = table.totals, table.sizes
    lacks = shares[:, None] * totals
    parts = np.full(len(table), -1)
    order = random.permutation(len(table))
    weights = 1 / np.maximum(totals, 1)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        if sizes[group] == 1:
            break
        row = table.row(group)
        part = int(np.argmax(lacks @ (row * weights)))
        parts[group] = part
        lacks[part] -= row
    rest = order[parts[order] < 0]
    labels = table.labels[table.starts[rest]]
    for label in np.flatnonzero(totals):
        single = rest[labels == label]
        parts[single] = np.repeat(np.arange(len(shares)), _quotas(lacks[:, label], len(single)))
    return parts


def _quotas(lacks: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """`count` images distributed over the parts, so that each gets as close as possible to what it lacks."""
    quotas = np.floor(np.maximum(lacks, 0)).astype(np.int64)
    while quotas.sum() > count:
        quotas[np.argmin(np.where(quotas > 0, lacks - quotas, np.inf))] -= 1
    while quotas.sum() < count:
        quotas[np.argmax(lacks - quotas)] += 1
    return quotas


def _require_groups(dataset: Dataset, table: _GroupTable, parts: int, what: str) -> None:
    """Raises: DataError if a class has fewer groups than there are parts."""
    groups = table.groups_per_class
    for label in np.flatnonzero(groups < parts):
        name, images = dataset.classes[label], int(table.totals[label])
        size = f"{images} {_plural(images, 'image')}"
        if images > groups[label]:
            size += f" in {groups[label]} {_plural(int(groups[label]), 'group')}"
        fewer = f"make at most {groups[label]} folds, " if what == "folds" else ""
        raise DataError(
            f"data {dataset.source}: class {name!r} has {size}, too few to be in all {parts} {what}; give it images of "
            f"at least {parts} groups, {fewer}leave the class out, or merge it with another"
        )


def _move_missing_classes(dataset: Dataset, table: _GroupTable, parts: NDArray[np.int64], count: int) -> None:
    """Moves the smallest groups, in place, to parts that lack one of their classes.

    Raises: DataError if no such moves put every class into every part.
    """
    totals, sizes = table.totals, table.sizes
    for _ in range(count * table.classes):
        groups = np.zeros((count, table.classes), dtype=np.int64)
        np.add.at(groups, (parts[table.groups], table.labels), 1)
        lacking = np.argwhere((groups == 0) & (totals > 0))
        if not len(lacking):
            return
        part, label = lacking[0]
        # A group may leave a part in which each of its classes has another group.
        candidates = table.groups[table.labels == label]
        movable = [g for g in candidates if (groups[parts[g]][table.classes_of(g)] > 1).all()]
        if not movable:
            break
        parts[min(movable, key=lambda g: (sizes[g], g))] = part
    raise DataError(
        f"data {dataset.source}: its groups cannot be distributed so that every class is in all {count} sets; "
        f"class {dataset.classes[int(np.argmin(table.groups_per_class))]!r} has the fewest groups: give it images of "
        "more groups"
    )


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _format_names(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_LISTED]) + (f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else "")
