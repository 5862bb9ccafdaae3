"""Spearman's rank correlation, if there are enough pairs."""

from __future__ import annotations

from collections.abc import Sequence

MIN_PAIRS = 4
"""Networks that a rank correlation needs."""


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation; None for fewer than four pairs, or if one of the scores is the same for all.

    Example:
        >>> rank_correlation([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 9.0])
        1.0
    """
    from scipy.stats import spearmanr

    if len(first) < MIN_PAIRS or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return round(float(spearmanr(first, second).statistic), 4)
