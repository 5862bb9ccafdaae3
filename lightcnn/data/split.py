"""Three roles for images, train, val and test, with every source on one side only. One seed, one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import SPLIT_NAMES, Dataset, require_every_class
from lightcnn.errors import DataError
from lightcnn.recipe import Reading

VAL_SHARE, TEST_SHARE = 0.15, 0.2
"""Of all images the test side, of the others the validation side, where we cut them."""
MOST = 10_000
"""Images of a validation or test side that we cut ourselves, at most: more cost time and tell little more."""
SHOWN = 5
"""Names that an error shows."""


@dataclass(frozen=True)
class Split:
    """Indices into a dataset, ascending. `leak_allowed`: groups stand on two sides because the user said so."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    leak_allowed: bool = False

    def counts(self) -> dict[str, int]:
        """Images a side."""
        return {name: len(getattr(self, name)) for name in SPLIT_NAMES}

    def groups_shared(self, dataset: Dataset) -> int:
        """How many groups stand on more than one side, counted."""
        return len(shared_groups([dataset.groups[getattr(self, name)] for name in SPLIT_NAMES]))


def make_split(dataset: Dataset, seed: int, reading: Reading | None = None) -> Split:
    """Train, val and test, disjoint by group and stratified by class as far as the groups allow.

    A split that the source gives is used, and what it lacks is cut from its train side; of `reading.folds` one is the
    test side, whatever is given. Raises: DataError where groups stand on two of its sides and `reading` neither allows
    that nor has the sides cut anew, and where a class has too few groups to stand on every side.
    """
    reading = reading or Reading()
    seed = seed if reading.split_seed is None else reading.split_seed
    require_every_class(dataset, new_split=reading.resplit or bool(reading.folds))
    if reading.folds:
        return folds(dataset, reading.folds, seed)[reading.fold - 1]
    every = np.arange(len(dataset))
    given = {name: np.flatnonzero(dataset.split == name) for name in SPLIT_NAMES}
    if reading.resplit or not len(given["train"]):
        given = {"train": every, "val": every[:0], "test": every[:0]}
    shared = shared_groups([dataset.groups[given[name]] for name in SPLIT_NAMES])
    if shared and not reading.allow_leak:
        raise DataError(
            f"data {dataset.source}: {len(shared)} {_plural(len(shared), 'source')} ({_named(shared)}) with images on "
            "more than one side of the given split; have the sides cut anew with --resplit, or use it as it is with "
            "--allow-leak"
        )
    wanted = [name for name in ("test", "val") if not len(given[name])]
    shares = _shares(wanted, len(given["train"]))
    sides = _cut(dataset, given["train"], shares, [seed, 1])
    given |= dict(zip(("train", *wanted), sides, strict=True))
    train, val, test = (np.sort(given[name]) for name in SPLIT_NAMES)
    return Split(train, val, test, leak_allowed=bool(shared))


def folds(dataset: Dataset, count: int, seed: int) -> list[Split]:
    """`count` splits; the test sides are disjoint by group and together all images. A given split is not used.

    Raises: DataError where a class has too few groups for so many folds.
    """
    if count < 2:
        raise DataError(f"data {dataset.source}: {count} folds; give two or more")
    tests = _cut(dataset, np.arange(len(dataset)), [1 / count] * count, [seed, 3], "folds")
    splits = []
    for number, test in enumerate(tests):
        rest = np.sort(np.concatenate([other for other in tests if other is not test]))
        train, val = _cut(dataset, rest, _shares(["val"], len(rest)), [seed, 4, number])
        splits.append(Split(np.sort(train), np.sort(val), np.sort(test)))
    return splits


def data_document(dataset: Dataset, sides: Split) -> dict[str, Any]:
    """The `data` of a report.json."""
    groups = {name: len(np.unique(dataset.groups[getattr(sides, name)])) for name in SPLIT_NAMES}
    return {
        "source": dataset.source,
        "stand_in": dataset.stand_in,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "counts": sides.counts(),
        "groups": {
            "known": dataset.groups_known,
            "source": dataset.groups_from,
            "why": dataset.groups_reason,
            "counts": groups,
        },
        "groups_shared": sides.groups_shared(dataset),
        "leak_allowed": sides.leak_allowed,
        "skipped": len(dataset.skipped),
        "note": dataset.note,
    }


def subset(dataset: Dataset, indices: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` of `indices`, stratified by class, ascending."""
    if len(indices) <= most:
        return indices
    random = np.random.default_rng([seed, 2])
    labels = dataset.labels[indices]
    chosen = []
    for label in np.unique(labels):
        members = random.permutation(indices[labels == label])
        chosen.append(members[: max(1, round(most * len(members) / len(indices)))])
    return np.sort(np.concatenate(chosen))


def shared_groups(sides: Sequence[NDArray[np.str_]]) -> list[str]:
    """The groups that stand on more than one of the sides, in order."""
    found = [np.unique(groups) for groups in sides]
    names, times = np.unique(np.concatenate(found), return_counts=True)
    return [str(name) for name in names[times > 1]]


def _shares(wanted: Sequence[str], count: int) -> list[float]:
    """The share of train, and of every wanted side."""
    test = min(TEST_SHARE, MOST / count) if "test" in wanted else 0.0
    val = min(VAL_SHARE * (1 - test), MOST / count)
    shares = [{"test": test, "val": val}[name] for name in wanted]
    return [1 - sum(shares), *shares]


def _cut(
    dataset: Dataset, indices: NDArray[np.int64], shares: Sequence[float], key: Sequence[int], what: str = "sides"
) -> list[NDArray[np.int64]]:
    """`indices` on as many sides as there are shares, no group on two, every class on each.

    The largest groups are placed first, each on the side that lacks most of its classes; those of one image fill up.
    """
    names, codes = np.unique(dataset.groups[indices], return_inverse=True)
    tables = np.zeros((len(names), len(dataset.classes)), dtype=np.int64)
    np.add.at(tables, (codes, dataset.labels[indices]), 1)
    _require_groups(dataset, tables, len(shares), what)
    sides = _placed(tables, np.asarray(shares), np.random.default_rng(key))
    _every_class_everywhere(dataset, tables, sides, len(shares))
    return [indices[sides[codes] == side] for side in range(len(shares))]


def _placed(tables: NDArray[np.int64], shares: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """The side of every group; `tables` has a row a group and a column a class."""
    totals = tables.sum(axis=0)
    lacks = shares[:, None] * totals
    sides = np.full(len(tables), -1)
    order = random.permutation(len(tables))
    sizes = tables.sum(axis=1)
    weights = 1 / np.maximum(totals, 1)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        if sizes[group] == 1:
            break
        side = int(np.argmax(lacks @ (tables[group] * weights)))
        sides[group] = side
        lacks[side] -= tables[group]
    for label in np.flatnonzero(totals):
        alone = order[(sides[order] < 0) & (tables[order, label] == 1)]
        sides[alone] = np.repeat(np.arange(len(shares)), _quotas(lacks[:, label], len(alone)))
    return sides


def _quotas(lacks: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """`count` images shared out so that what each side still lacks comes as near to nothing as it can."""
    quotas = np.floor(np.maximum(lacks, 0)).astype(np.int64)
    while quotas.sum() > count:
        quotas[np.argmin(np.where(quotas > 0, lacks - quotas, np.inf))] -= 1
    while quotas.sum() < count:
        quotas[np.argmax(lacks - quotas)] += 1
    return quotas


def _require_groups(dataset: Dataset, tables: NDArray[np.int64], sides: int, what: str) -> None:
    """Raises: DataError where a class has fewer groups than there are sides."""
    groups = (tables > 0).sum(axis=0)
    for label in np.flatnonzero(groups < sides):
        name, images = dataset.classes[label], int(tables[:, label].sum())
        held = f"{images} {_plural(images, 'image')}"
        if dataset.groups_known and images > groups[label]:
            held += f", all of {groups[label]} {_plural(int(groups[label]), 'source')}"
        fewer = f"cut at most {groups[label]} folds, " if what == "folds" else ""
        raise DataError(
            f"data {dataset.source}: class {name!r} has {held}, and {sides} {what} to stand on; give it images of at "
            f"least {sides} sources, {fewer}leave the class out, or join it to another"
        )


def _every_class_everywhere(dataset: Dataset, tables: NDArray[np.int64], sides: NDArray[np.int64], count: int) -> None:
    """Moves the smallest groups, in place, to sides that lack a class. Raises: DataError where that cannot be done."""
    for _ in range(count * tables.shape[1]):
        held = np.stack([tables[sides == side].astype(bool).sum(axis=0) for side in range(count)])
        lacking = np.argwhere((held == 0) & (tables.sum(axis=0) > 0))
        if not len(lacking):
            return
        side, label = lacking[0]
        # A group may leave a side on which each of its classes has another group.
        movable = [g for g in np.flatnonzero(tables[:, label]) if (held[sides[g]][tables[g] > 0] > 1).all()]
        if not movable:
            break
        sides[min(movable, key=lambda g: (tables[g].sum(), g))] = side
    raise DataError(
        f"data {dataset.source}: its sources cannot be shared out so that every class stands on {count} sides; "
        f"class {dataset.classes[int(np.argmin((tables > 0).sum(axis=0)))]!r} has the fewest: give it images of more "
        "sources"
    )


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
