"""Draws of whole groups with replacement, and what scores are in each of them. Nothing of it loops over draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
MAX_LEFT_OUT = 500
"""Groups that are left out one by one, at most: of more, no few can make the spread."""
MAX_NUMBERS = 1_000_000
"""Numbers of a bootstrap that are held at once, about."""
Numbers = NDArray[np.float64]


def draw_counts(count: int, rows: int, *, seed: int = 0, draws: int = DRAWS) -> Iterator[Numbers]:
    """How often each of `count` groups is drawn, (rows, count) at a time, until there are as many rows as `draws`."""
    random = np.random.default_rng([seed, 5])
    for start in range(0, draws, rows):
        some = min(rows, draws - start)
        places = random.integers(0, count, (some, count)) + count * np.arange(some)[:, None]
        yield np.bincount(places.ravel(), minlength=some * count).reshape(some, count).astype(np.float64)


def leave_one_out_counts(count: int, rows: int) -> Iterator[Numbers]:
    """The same for each of `count` groups left out once: (rows, count) at a time."""
    for start in range(0, count, rows):
        yield 1 - np.eye(min(rows, count - start), count, start)


@dataclass(frozen=True, eq=False)
class RankedScores:
    """What the areas under ROC and precision-recall curves need of one class, sorted once, the highest score first.

    `order` sorts the images (N,), `found` are the places in it that the class has, `first` says where in `found` a new
    score begins, and `start` and `end` are the places between which all images with that score are.
    """

    order: NDArray[np.intp]
    found: NDArray[np.intp]
    first: NDArray[np.intp]
    start: NDArray[np.intp]
    end: NDArray[np.intp]

    @classmethod
    def of(cls, positive: NDArray[np.bool_], scores: Numbers) -> RankedScores:
        """Of labels (N,), at least one of them True, and scores (N,)."""
        order = np.argsort(-scores, kind="stable")
        ranked = -scores[order]
        found = np.flatnonzero(positive[order])
        values, first = np.unique(ranked[found], return_index=True)
        sides = (np.searchsorted(ranked, values, side="left"), np.searchsorted(ranked, values, side="right"))
        return cls(order, found, first, *sides)

    def areas(self, weights: NDArray[np.floating[Any]]) -> tuple[Numbers, Numbers]:
        """ROC-AUC and average precision (draws,) under weights (draws, N) of the images; NaN where undefined.

        Weights may be float32: sums of counts are exact in it up to 16 million.
        """
        ranked = weights[:, self.order]
        total = np.concatenate([np.zeros((len(ranked), 1), dtype=ranked.dtype), ranked.cumsum(axis=1)], axis=1)
        own = np.add.reduceat(ranked[:, self.found], self.first, axis=1)
        upto = own.cumsum(axis=1)
        others = total[:, self.end] - upto, total[:, self.start] - (upto - own)
        all_own, all_others = upto[:, -1], total[:, -1] - upto[:, -1]
        below = all_others[:, None] - (others[0] + others[1]) / 2
        precision = upto / np.maximum(total[:, self.end], 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = (own * below).sum(axis=1, dtype=np.float64) / (all_own.astype(np.float64) * all_others)
            average = np.where(all_others > 0, (own * precision).sum(axis=1, dtype=np.float64) / all_own, np.nan)
        return roc, average


def resample(
    codes: NDArray[np.intp],
    columns: Numbers,
    curves: Sequence[RankedScores | None],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[Numbers, Numbers, Numbers]:
    """Sums (R, M) of columns (N, M) over the images drawn, and both areas (R, classes) of each class's curve.

    `codes` (N,) number the groups that are drawn from 0; a curve of None has areas of NaN. After the draws, R has a row
    for each group left out, where there are at most `LEFT_OUT`.
    """
    count = int(codes.max()) + 1
    of_groups = np.stack([np.bincount(codes, weights=column, minlength=count) for column in columns.T], axis=1)
    sums, areas, rows = [], [], max(1, MAX_NUMBERS // len(codes))
    for times in chain(
        draw_counts(count, rows, seed=seed, draws=draws),
        leave_one_out_counts(count if count <= MAX_LEFT_OUT else 0, rows),
    ):
        sums.append(times @ of_groups)
        weights = times.astype(np.float32)[:, codes]
        nothing = (np.full(len(times), np.nan),) * 2
        areas.append(np.stack([nothing if curve is None else curve.areas(weights) for curve in curves], axis=-1))
    both = np.concatenate(areas, axis=1)
    return np.concatenate(sums), both[0], both[1]
