"""The order in which a map would have the pixels, and how far two maps agree on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lightcnn.explaining.checks.map_sanity import fault

Map = NDArray[np.floating[Any]]
TOP = 0.1
"""Share of the pixels that `overlap` compares."""


def places(found: Map, seed: int) -> NDArray[np.int64]:
    """The place of every pixel (H, W), 0 for the highest. Lots decide between equals: a constant map is chance."""
    lots = np.random.default_rng([seed, 11]).permutation(found.size)
    order = np.lexsort((lots, -found.ravel()))
    ranks = np.empty(found.size, dtype=np.int64)
    ranks[order] = np.arange(found.size)
    return ranks.reshape(found.shape)


def agreement(one: Map, other: Map) -> float | None:
    """Spearman's rank correlation of two maps (H, W); None where one of them has no order."""
    if fault(one) or fault(other):
        return None
    return float(np.clip(stats.spearmanr(one.ravel(), other.ravel()).statistic, -1, 1))


def pearson(one: Map, other: Map) -> float:
    """The correlation of the numbers of two maps (H, W), neither of them constant."""
    return float(np.clip(stats.pearsonr(one.ravel().astype(float), other.ravel().astype(float)).statistic, -1, 1))


def overlap(one: Map, other: Map, seed: int) -> float:
    """The share of one map's highest tenth of the pixels that is in the other's too: a tenth by chance."""
    count = max(1, round(TOP * one.size))
    both = (places(one, seed) < count) & (places(other, seed + 1) < count)
    return float(both.sum() / count)
