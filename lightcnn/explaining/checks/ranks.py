"""The order of the pixels by a map, and how well two maps agree on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lightcnn.explaining.checks.map_sanity import missing_order

Map = NDArray[np.floating[Any]]
TOP_SHARE = 0.1
"""Share of the pixels that `top_overlap` compares."""


def pixel_ranks(values: Map, seed: int) -> NDArray[np.int64]:
    """The rank of every pixel (H, W), 0 for the highest. Ties are broken at random, so a constant map is random."""
    tie_breakers = np.random.default_rng([seed, 11]).permutation(values.size)
    order = np.lexsort((tie_breakers, -values.ravel()))
    ranks = np.empty(values.size, dtype=np.int64)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(values.shape)


def rank_correlation(first: Map, second: Map) -> float | None:
    """Spearman's rank correlation of two maps (H, W); None if one of them has no order."""
    if missing_order(first) or missing_order(second):
        return None
    return float(np.clip(stats.spearmanr(first.ravel(), second.ravel()).statistic, -1, 1))


def pearson(first: Map, second: Map) -> float:
    """Pearson's correlation of two maps (H, W), neither of them constant."""
    correlation = stats.pearsonr(first.ravel().astype(float), second.ravel().astype(float)).statistic
    return float(np.clip(correlation, -1, 1))


def top_overlap(first: Map, second: Map, seed: int) -> float:
    """The share of the highest tenth of the pixels of one map that is in that of the other; 0.1 by chance."""
    count = max(1, round(TOP_SHARE * first.size))
    both = (pixel_ranks(first, seed) < count) & (pixel_ranks(second, seed + 1) < count)
    return float(both.sum() / count)
