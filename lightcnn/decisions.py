"""From logits to class probabilities and to classes, as NumPy arrays. No torch.

`inference` has the torch half: it computes the logits, and probabilities of tensors.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

OutputKind = Literal["logits", "probabilities", "log probabilities", "independent probabilities"]
"""What one row of outputs is; independent probabilities result from a sigmoid per class."""
TOLERANCE = 1e-3
"""Largest difference from 1 of the sum of probabilities: those computed in half precision are exact to three digits."""


def class_probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of logits (N, classes), or of logits (N, 1) of a sigmoid head.

    The same as `inference.class_probabilities`, for networks that run without torch.
    """
    wide = np.asarray(logits, dtype=np.float64) / temperature
    if wide.shape[1] == 1:
        with np.errstate(over="ignore"):  # exp overflows to infinity, and the probability is then exactly 0
            return np.asarray(1 / (1 + np.exp(np.concatenate([wide, -wide], axis=1))))
    exponentials = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def decide(probabilities: NDArray[np.float64], threshold: float = 0.5) -> NDArray[np.int64]:
    """The class (N,) of each row of probabilities (N, classes): the most probable one.

    For two classes, it is the second one if its probability is at least `threshold`.
    """
    if probabilities.shape[1] == 2 and threshold != 0.5:
        return (probabilities[:, 1] >= threshold).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def kind_by_values(rows: NDArray[np.floating], *, must_vary: bool = True) -> OutputKind:
    """The kind of outputs (N, classes) of several different images: probabilities are in 0..1 and their sum is 1.

    If they `must_vary`, rows that do not depend on the image count as logits: a bias may have any value.
    """
    if must_vary and not (rows != rows[:1]).any():
        return "logits"
    if are_shares(rows) and sum_to_one(rows):
        return "probabilities"
    with np.errstate(over="ignore"):
        return "log probabilities" if (rows <= TOLERANCE).all() and sum_to_one(np.exp(rows)) else "logits"


def are_shares(rows: NDArray[np.floating]) -> bool:
    """Whether all values are from 0 to 1."""
    return bool((rows >= 0).all() and (rows <= 1 + TOLERANCE).all())


def sum_to_one(rows: NDArray[np.floating]) -> bool:
    """Whether the values of each row (N, classes) add up to 1."""
    return rows.shape[1] > 1 and bool((np.abs(rows.sum(axis=1) - 1) <= TOLERANCE).all())
