"""Whether a set has enough images for its scores to be meaningful. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_GROUPS, MIN_GROUPS_PER_CLASS = 20, 10
"""Numbers of groups in total, and per class, below which the scores of a set have a warning."""


def sample_size_warning(labels: NDArray[np.int64], groups: NDArray[Any], classes: Sequence[str]) -> str | None:
    """A sentence on what a set of labels (N,) and groups (N,) has too few of; None if it has enough."""
    count = len(np.unique(groups))
    unit = "images" if count == len(labels) else "groups"
    shortages = [f"{count} {unit} in all"] if count < MIN_GROUPS else []
    for c, name in enumerate(classes):
        of_class = len(np.unique(groups[labels == c]))
        shortages += [f"{of_class} {unit} of class {name!r}"] if of_class < MIN_GROUPS_PER_CLASS else []
    if not shortages:
        return None
    limits = f"under {MIN_GROUPS} in all, or {MIN_GROUPS_PER_CLASS} of a class"
    return f"too few for a reliable result: {', '.join(shortages)} ({limits})"
