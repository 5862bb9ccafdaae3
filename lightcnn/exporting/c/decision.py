"""How the generated C decides on a class: by comparing codes, with the same result as probabilities have."""

from __future__ import annotations

import numpy as np

from lightcnn.decisions import class_probabilities, decide
from lightcnn.integer.network import IntegerNetwork

CODES = np.arange(-128, 128)
NEVER = 256
"""A least difference or code that no logits have."""


def least_logit(network: IntegerNetwork, temperature: float, threshold: float) -> int:
    """The smallest code of the single logit of a sigmoid head that gives the second class; 256 if none does."""
    logits = network.logits.scale * (CODES - network.logits.zero)
    decided = decide(class_probabilities(logits[:, None], temperature), threshold)
    return int(CODES[decided.argmax()]) if decided.any() else NEVER


def least_difference(network: IntegerNetwork, temperature: float, threshold: float) -> int:
    """The smallest difference of codes (second - first) of two logits that gives the second class; 256 if none does.

    Probabilities depend on the difference alone, so the smaller code is -128 here.
    """
    differences = np.arange(-255, 256)
    codes = np.stack([np.maximum(-differences, 0), np.maximum(differences, 0)], axis=1) - 128
    logits = network.logits.scale * (codes - network.logits.zero)
    decided = decide(class_probabilities(logits, temperature), threshold)
    return int(differences[decided.argmax()]) if decided.any() else NEVER
