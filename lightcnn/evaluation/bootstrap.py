"""A bootstrap of whole groups: sums and areas under curves in each draw, vectorised over draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

DRAWS = 2_000
MAX_LEFT_OUT = 500
"""Maximum number of groups that are left out one by one; of more, a few cannot dominate the spread."""
MAX_NUMBERS = 1_000_000
"""About how many numbers of a bootstrap are in memory at once."""
Numbers = NDArray[np.float64]


def draw_counts(count: int, rows: int, *, seed: int = 0, draws: int = DRAWS) -> Iterator[Numbers]:
    """How often each of `count` groups is drawn, as (rows, count) arrays with `draws` rows in total."""
    random = np.random.default_rng([seed, 5])
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        places = random.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def leave_one_out_counts(count: int, rows: int) -> Iterator[Numbers]:
    """The same with each of `count` groups left out once, as (rows, count) arrays."""
    for start in range(0, count, rows):
        yield 1 - np.eye(min(rows, count - start), count, start)


@dataclass(frozen=True, eq=False)
class GroupedScores:
    """The scores of the images for one class, as counts of the images of each group, for areas under curves.

    The class's images have S different scores, in descending order. `positives` (S, groups) counts its images with each
    of them. `parts` (2 S + 1, groups) counts all images above the first score, with it, between it and the second one,
    and so on. Products of these with how often each group is drawn give every count that the areas are made of.
    """

    positives: csr_array
    parts: csr_array

    @classmethod
    def of(cls, positive: NDArray[np.bool_], scores: Numbers, codes: NDArray[np.intp]) -> GroupedScores:
        """From labels (N,), of which at least one is True, scores (N,) and the numbers of the groups (N,) from 0."""
        values = np.unique(-scores[positive])
        above = np.searchsorted(values, -scores, side="left")  # scores of the class that are above an image's own
        parts = above + np.searchsorted(values, -scores, side="right")
        groups = int(codes.max()) + 1
        return cls(
            _counts(above[positive], codes[positive], (len(values), groups)),
            _counts(parts, codes, (2 * len(values) + 1, groups)),
        )

    def areas(self, times: NDArray[np.floating[Any]]) -> tuple[Numbers, Numbers]:
        """ROC-AUC and average precision (draws,) if each group is drawn so often (groups, draws); NaN if undefined.

        Counts may be float32: their sums are exact in it up to 16 million.
        """
        positive, total = self.positives @ times, (self.parts @ times).cumsum(axis=0)
        true_positives = positive.cumsum(axis=0)
        down_to, above = total[1::2], total[:-1:2]  # the images down to each score, and those above it
        negatives = down_to - true_positives, above - (true_positives - positive)
        all_positives, all_negatives = true_positives[-1], total[-1] - true_positives[-1]
        below = all_negatives - (negatives[0] + negatives[1]) / 2
        precision = true_positives / np.maximum(down_to, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = (positive * below).sum(axis=0, dtype=np.float64) / (all_positives.astype(np.float64) * all_negatives)
            mean_precision = (positive * precision).sum(axis=0, dtype=np.float64) / all_positives
            average = np.where(all_negatives > 0, mean_precision, np.nan)
        return roc, average


def _counts(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]) -> csr_array:
    """How often each pair of a row and a column occurs."""
    return coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape).tocsr()


def resample(
    codes: NDArray[np.intp],
    columns: Numbers,
    curves: Sequence[GroupedScores | None],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[Numbers, Numbers, Numbers]:
    """Sums (R, M) of columns (N, M) over the drawn images, and ROC-AUC and average precision (R, K) of each class.

    `codes` (N,) number the groups from 0. Areas of a curve that is None are NaN. After the rows of the draws, there is
    one row for each group left out, if there are at most `MAX_LEFT_OUT` groups.
    """
    count = int(codes.max()) + 1
    group_sums = np.stack([np.bincount(codes, weights=column, minlength=count) for column in columns.T], axis=1)
    sums, areas, rows = [], [], max(1, MAX_NUMBERS // len(codes))
    for times in chain(
        draw_counts(count, rows, seed=seed, draws=draws),
        leave_one_out_counts(count if count <= MAX_LEFT_OUT else 0, rows),
    ):
        sums.append(times @ group_sums)
        weights = np.ascontiguousarray(times.T, dtype=np.float32)
        undefined = (np.full(len(times), np.nan),) * 2
        areas.append(np.stack([undefined if curve is None else curve.areas(weights) for curve in curves], axis=-1))
    both = np.concatenate(areas, axis=1)
    return np.concatenate(sums), both[0], both[1]
