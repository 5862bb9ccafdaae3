"""Durations as people write them: 90s, 10m, 1h30m."""

from __future__ import annotations

import math
import re
from numbers import Real

from lightcnn.errors import InputError


def parse_duration(text: str | None, option: str = "--time") -> float | None:
    """The seconds of a duration such as 90s, 10m or 1h30m, given as that option; None without text.

    Raises: InputError.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not match or not 0 < seconds < math.inf:
        raise InputError(f"{option} {text!r}: not a duration; write it with units, as in 90s, 10m or 1h30m")
    return seconds


def seconds_of(time: str | float | None) -> float | None:
    """The seconds of a duration, or of a number of seconds. Raises: InputError."""
    if time is None or isinstance(time, str):
        return parse_duration(time)
    if isinstance(time, bool) or not isinstance(time, Real) or not math.isfinite(time) or time <= 0:
        raise InputError(f"time: must be a number of seconds above 0 or a text such as '10m', not {time!r}")
    return float(time)


def time_option(seconds: float) -> str:
    """A text for `--time`, rounded up."""
    return f"{10 * math.ceil(seconds / 10)}s" if seconds <= 300 else f"{math.ceil(seconds / 60)}m"
