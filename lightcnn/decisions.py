"""From logits to class probabilities, and from these to a class, as NumPy arrays. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def decide(probabilities: NDArray[np.float64], threshold: float = 0.5) -> NDArray[np.int64]:
    """The class of each row of (N, classes): the most probable one; of two classes, the second from `threshold` on."""
    if probabilities.shape[1] == 2 and threshold != 0.5:
        return (probabilities[:, 1] >= threshold).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
