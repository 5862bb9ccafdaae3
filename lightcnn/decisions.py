"""From logits to class probabilities and to classes, as NumPy arrays. No torch.

`inference` has the torch half: it computes the logits, and probabilities of tensors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
