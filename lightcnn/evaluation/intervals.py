"""95 % intervals of a share of right answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""
DRAWS = 2_000
CHUNK = 4_000_000
"""Numbers of a bootstrap that are held at once."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, and how it was found."""

    low: float
    high: float
    method: str


def wilson(correct: float, total: float) -> tuple[float, float]:
    """The 95 % interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    share = correct / total
    centre = share + Z**2 / (2 * total)
    spread = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def accuracy_interval(right: NDArray[np.bool_], groups: NDArray[np.str_], seed: int = 0) -> Interval:
    """Of the share of right answers: Wilson's where every image is its own group, else a bootstrap of groups.

    Where every answer is right, or none, resampling finds no spread: then Wilson's with groups for images.
    """
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) == len(right):
        return Interval(*wilson(int(right.sum()), len(right)), "Wilson")
    if right.all() or not right.any():
        return Interval(*wilson(len(names) * int(right.all()), len(names)), f"Wilson on {len(names):,} groups")
    return Interval(*clustered(right, codes, seed), f"bootstrap of {len(names):,} groups, {DRAWS:,} draws")


def clustered(right: NDArray[np.bool_], codes: NDArray[np.int64], seed: int, draws: int = DRAWS) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the share over draws of whole groups with replacement; `codes` number the groups."""
    sizes = np.bincount(codes)
    hits = np.bincount(codes, weights=right)
    random, count = np.random.default_rng([seed, 5]), len(sizes)
    shares: list[NDArray[np.float64]] = []
    for start in range(0, draws, step := max(1, CHUNK // count)):
        times = random.multinomial(count, np.full(count, 1 / count), size=min(step, draws - start))
        shares.append((times @ hits) / (times @ sizes))
    low, high = np.percentile(np.concatenate(shares), (2.5, 97.5))
    return float(low), float(high)
