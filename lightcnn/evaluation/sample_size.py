"""Whether a side has enough images for its scores to say anything. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_GROUPS, MIN_GROUPS_PER_CLASS = 20, 10
"""Groups of a side, and groups of each class, below which a warning stands beside its scores."""


def sample_size_warning(labels: NDArray[np.int64], groups: NDArray[Any], classes: Sequence[str]) -> str | None:
    """What a side of labels (N,) and groups (N,) has too little of; None where it has enough."""
    count = len(np.unique(groups))
    unit = "images" if count == len(labels) else "groups"
    said = [f"{count} {unit} in all"] if count < MIN_GROUPS else []
    for c, name in enumerate(classes):
        held = len(np.unique(groups[labels == c]))
        said += [f"{held} {unit} of class {name!r}"] if held < MIN_GROUPS_PER_CLASS else []
    if not said:
        return None
    return (
        f"too few to say anything: {', '.join(said)} (under {MIN_GROUPS} in all, or {MIN_GROUPS_PER_CLASS} of a class)"
    )
