"""The range of a budget, over which a search finds a Pareto front, and its parts: bands of ascending cost."""

from __future__ import annotations

import math
from dataclasses import replace

from lightcnn.budget import Budget, Limit
from lightcnn.errors import BudgetError

BAND_RATIO = 2
"""Upper limits of neighbouring bands differ by at most this factor: a network uses half to all of its budget."""
MAX_BANDS = 8
"""A wider range has so many bands, with a larger factor between them: every band takes trials and a final training."""


def cost_range(budget: Budget) -> Limit:
    """The limit of a budget that is a range. Raises: BudgetError if there is none, several, or a narrow one.

    Example:
        >>> str(cost_range(Budget.parse("0.2..4MFLOPs,50kparams")))
        '0.2..4MFLOPs'
    """
    ranges = [limit for limit in budget.limits if limit.lower is not None]
    if not ranges:
        example = replace(budget.limits[0], lower=max(1, budget.limits[0].upper // 10))
        raise BudgetError(
            f"--pareto: budget {budget} has no range; write the lowest and the highest cost of the front, as in "
            f"{example}"
        )
    if len(ranges) > 1:
        raise BudgetError(
            f"--pareto: budget {budget} has {len(ranges)} ranges; a front is over one cost: write the others "
            "as plain limits"
        )
    limit = ranges[0]
    if limit.upper < BAND_RATIO * _lower(limit):
        raise BudgetError(
            f"--pareto: the range {limit} is narrow; its upper end must be at least {BAND_RATIO} times the lower "
            "one, or search without --pareto"
        )
    return limit


def cost_bands(budget: Budget, smallest: float = 1, largest: float = math.inf) -> tuple[Budget, ...]:
    """The budgets of bands in ascending order, from the `smallest` to the `largest` cost that a network can have.

    Each has the lower end of the range, and an upper limit that is the same factor above the one before.
    Raises: BudgetError as `cost_range`.

    Example:
        >>> [str(band) for band in cost_bands(Budget.parse("1..8MFLOPs"))]
        ['1..2MFLOPs', '1..4MFLOPs', '1..8MFLOPs']
    """
    limit = cost_range(budget)
    lower = int(max(_lower(limit), min(limit.upper, smallest)))
    upper = int(max(lower, min(limit.upper, largest)))
    ratio = upper / lower
    count = min(MAX_BANDS, max(1, math.ceil(round(math.log(ratio, BAND_RATIO), 9))))
    uppers = [*(round(lower * ratio ** (band / count)) for band in range(1, count)), upper]
    return tuple(
        Budget(tuple(replace(each, lower=lower, upper=end) if each == limit else each for each in budget.limits))
        for end in uppers
    )


def _lower(limit: Limit) -> int:
    assert limit.lower is not None
    return limit.lower
