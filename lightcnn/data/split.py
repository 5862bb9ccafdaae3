"""Three roles for images: train, val, test. One seed, one answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import SPLITS, Dataset
from lightcnn.errors import DataError

VAL_SHARE, TEST_SHARE = 0.15, 0.2
MOST = 10_000
"""Images of a validation or test side that we cut ourselves, at most: more cost time and tell little more."""


@dataclass(frozen=True)
class Split:
    """Indices into a dataset, ascending."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    def counts(self) -> dict[str, int]:
        """Images a side."""
        return {name: len(getattr(self, name)) for name in SPLITS}

    def groups_shared(self, dataset: Dataset) -> int:
        """How many groups stand on more than one side, counted."""
        sides = [set(dataset.groups[getattr(self, name)].tolist()) for name in SPLITS]
        return len((sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2]))


def split(dataset: Dataset, seed: int) -> Split:
    """Train, val and test, stratified by class; a split that the source gives is used, what it lacks is cut from train.

    Raises: DataError where a class has too few images to stand on every side.
    """
    given = {name: np.flatnonzero(dataset.split == name) for name in SPLITS}
    train = given["train"] if len(given["train"]) else np.arange(len(dataset))
    test, val = given["test"], given["val"]
    if not len(test):
        train, test = _cut(dataset, train, TEST_SHARE, seed, "test")
    if not len(val):
        train, val = _cut(dataset, train, VAL_SHARE, seed + 1, "val")
    return Split(np.sort(train), np.sort(val), np.sort(test))


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


def _cut(
    dataset: Dataset, indices: NDArray[np.int64], share: float, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`indices` without a stratified share of them, and that share."""
    random = np.random.default_rng([seed, 1])
    share = min(share, MOST / len(indices))
    kept, taken = [], []
    for label in range(len(dataset.classes)):
        members = random.permutation(indices[dataset.labels[indices] == label])
        count = max(1, round(share * len(members)))
        if len(members) < 2 + (name == "test"):
            raise DataError(
                f"data {dataset.source}: class {dataset.classes[label]!r} has {len(members)} images to cut {name} "
                "from; give it at least 3, one for each of train, val and test"
            )
        taken.append(members[:count])
        kept.append(members[count:])
    return np.concatenate(kept), np.concatenate(taken)
