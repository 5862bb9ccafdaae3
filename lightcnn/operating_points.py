"""Sensitivity and specificity on the test set of a run: at its threshold, and at every other threshold.

They are stored as counts of test images by their probability, which are exact and small. Exported files hold them, and
are untrusted, so `check` reads them as such. No other package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

STEPS = 100
"""Number of steps between the thresholds 0 and 1."""
MAX_CLASSES = 30
"""Networks with more classes have no counts: the table would be longer than the network."""
MAX_IMAGES = 2**53
"""Largest count, which every reader of JSON represents exactly."""
RATES = ("sensitivity", "specificity")
TARGETS = ("at_specificity", "at_sensitivity")
"""Tables of the thresholds that were chosen on the validation set for a rate."""
BOUNDS = ("value", "low", "high")
"""The keys of a score with its interval."""


def operating_document(scores: Mapping[str, Any], counts: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """The operating points in the metadata of a file.

    Args:
        scores: `metrics.test` of a report.json.
        counts: For each class `class`, and of the test images of it (`inside`) and of all others (`outside`) the
            numbers whose probability of the class is i/100 or more and less than (i+1)/100, for i from 0 to 100.

    Raises:
        LookupError, TypeError, AttributeError: If the report is damaged.
    """
    tables = {
        name: scores[name]
        and {
            target: {"threshold": row["threshold"], **{rate: score_bounds(row[rate]) for rate in RATES}}
            for target, row in scores[name].items()
        }
        for name in TARGETS
    }
    return {
        **{rate: score_bounds(scores[rate]) for rate in RATES},
        **tables,
        "counts": None if counts is None else [dict(each) for each in counts],
    }


def score_bounds(score: Mapping[str, Any] | None) -> dict[str, float | None] | None:
    """`value`, `low` and `high` of a score; None if it has no value."""
    if not score or score.get("value") is None:
        return None
    return {key: None if score.get(key) is None else float(score[key]) for key in BOUNDS}


def rates_at_thresholds(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The thresholds, and for each class its sensitivity and specificity at each; None if images are missing."""
    return {
        "thresholds": [place / STEPS for place in range(STEPS + 1)],
        "classes": [_rates(each["class"], each["inside"], each["outside"]) for each in counts],
    }


def _rates(name: str, inside: Sequence[int], outside: Sequence[int]) -> dict[str, Any]:
    images, others = sum(inside), sum(outside)
    below = [0, *accumulate(inside[:-1])], [0, *accumulate(outside[:-1])]
    return {
        "class": name,
        "images": images,
        "others": others,
        "sensitivity": [round((images - count) / images, 4) for count in below[0]] if images else None,
        "specificity": [round(count / others, 4) for count in below[1]] if others else None,
    }


def check(operating: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Checks operating points from an untrusted file. Raises: ValueError, LookupError, TypeError or AttributeError."""
    for rate in RATES:
        check_score(rate, operating[rate])
    for name in TARGETS:
        for row in (operating[name] or {}).values():
            require_share(f"{name} threshold", 0 if row["threshold"] is None else row["threshold"], highest=2)
            for rate in RATES:
                check_score(f"{name} {rate}", row[rate])
    counts = operating["counts"]
    if counts is None:
        return
    if not isinstance(counts, list) or [each["class"] for each in counts] != list(labels) or len(counts) > MAX_CLASSES:
        raise ValueError(f"operating counts are not of the classes, at most {MAX_CLASSES}")
    for each in counts:
        for part in ("inside", "outside"):
            _check_counts(each["class"], each[part])


def check_score(name: str, score: Mapping[str, Any] | None) -> None:
    """Raises: ValueError, LookupError or TypeError if this is not a score from 0 to 1 with bounds, or None."""
    if score is None:
        return
    for key in BOUNDS:
        if key == "value" or score[key] is not None:
            require_share(f"{name} {key}", score[key])


def require_share(name: str, value: Any, *, highest: float = 1) -> None:
    """Raises: ValueError if `value` is not a number from 0 to `highest`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and 0 <= value <= highest):
        raise ValueError(f"{name} is not a number from 0 to {highest}")


def _check_counts(name: str, counts: Any) -> None:
    is_row = isinstance(counts, list) and len(counts) == STEPS + 1
    if not is_row or not all(type(count) is int and 0 <= count <= MAX_IMAGES for count in counts):
        raise ValueError(f"operating counts of {name!r} are not {STEPS + 1} numbers of images")
