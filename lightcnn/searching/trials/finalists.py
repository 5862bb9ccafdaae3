"""Which networks of a search are trained to the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.trials.halving import in_turns
from lightcnn.searching.trials.storage import Outcome

STANDARD_ERRORS = 2.0
"""A difference of fewer standard errors is noise."""


def choose_finalists(
    outcomes: Sequence[Outcome],
    promises: Mapping[int, float],
    count: int,
    *,
    longest: int,
    validation: int,
    metric: MetricName = "accuracy",
    always_first: bool = False,
    turns: int = 1,
    taken: Sequence[Outcome] = (),
) -> list[Outcome]:
    """The `count` most promising networks, and the first one of the search among them.

    So the result is not worse than the first network by more than the noise of the choice. That one is left out only if
    one of the others beats it at the `longest` rung on so many independent `validation` images, and never with
    `always_first` or by another metric than accuracy; but a single finalist by another metric is the most promising.
    Networks that were trained beyond the first rung come before others: the promise of a single rung is the least
    certain. Of several bands of costs, which take trials in so many `turns`, it is the best of each, then the second of
    each, and so on; a band of which more were `taken` before comes later.
    """
    scored = [outcome for outcome in outcomes if outcome.number in promises]
    ranked = sorted(scored, key=lambda outcome: (len(outcome.scores) < 2, -promises[outcome.number], outcome.number))
    if turns > 1:
        return in_turns(ranked, lambda outcome: outcome.number % turns, taken)[:count]
    chosen = ranked[:count]
    first = next((outcome for outcome in ranked if outcome.number == 0), None)
    if first is None or first in chosen or (count == 1 and metric != "accuracy"):
        return chosen
    beaten = any(beats(other, first, longest, validation) for other in chosen)
    if always_first or metric != "accuracy" or not beaten:
        chosen[-1] = first
    return chosen


def beats(other: Outcome, first: Outcome, longest: int, validation: int) -> bool:
    """Whether a network is better than another at the longest rung, by more than the noise of both accuracies.

    This is the rule for a search by accuracy: by other metrics, the more accurate network may be the worse one.
    """
    if longest not in other.scores or longest not in first.scores:
        return False
    high, low = other.scores[longest], first.scores[longest]
    noise = STANDARD_ERRORS * math.sqrt((high * (1 - high) + low * (1 - low)) / max(1, validation))
    return high - low > noise and other.utilities[longest] > first.utilities[longest]
