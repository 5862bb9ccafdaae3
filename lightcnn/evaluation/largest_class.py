"""The score of always predicting the largest class of the training set, with which accuracies are to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.output.largest_class import KEY


def largest_class(train: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """The largest class by the training labels (N,), and the share of the labels (M,) of another set that are of it.

    Of equally large classes it is the first.
    """
    largest = int(np.bincount(train, minlength=len(classes)).argmax())
    return {"class": classes[largest], "accuracy": float((labels == largest).mean())}


def pooled_largest_class(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """That of several trainings, from their metrics of one set; `class` is None if they have different ones."""
    entries = [part.get(KEY) for part in parts]
    if not entries or None in entries:
        return None
    names = {entry["class"] for entry in entries if entry}
    shares, images = [entry["accuracy"] for entry in entries if entry], [part["images"] for part in parts]
    return {"class": names.pop() if len(names) == 1 else None, "accuracy": float(np.average(shares, weights=images))}
