"""The choice of images from the test set of a run's data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.split import subset
from lightcnn.data.tensors import network_pixels
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.progress import Progress
from lightcnn.run_data import RunData

MAX_CANDIDATES = 2_000
"""Maximum number of test images that the network predicts before some of them are chosen."""
CHUNK = 64
"""Images that are prepared at once."""


def candidate_indices(data: RunData, seed: int) -> NDArray[np.int64]:
    """Indices of the test images; of a test set with more than MAX_CANDIDATES, so many, stratified by class."""
    return subset(data.dataset, data.split.test, MAX_CANDIDATES, seed)


def predict(
    network: ExplainedNetwork,
    preprocess: Preprocess,
    dataset: Dataset,
    indices: NDArray[np.int64],
    progress: Progress,
) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of images of a data set."""
    parts = []
    for start in range(0, len(indices), CHUNK):
        progress("predicting", start, len(indices))
        pixels = torch.stack([network_pixels(dataset.images[i], preprocess) for i in indices[start : start + CHUNK]])
        parts.append(network.probabilities(network.inputs(pixels)).numpy())
    progress("predicting", len(indices), len(indices))
    return np.concatenate(parts)


def sample_strata(strata: Sequence[Any], limit: int, seed: int) -> NDArray[np.int64]:
    """At most `limit` indices into a list of strata: one of each stratum first, then in proportion; in order."""
    random = np.random.default_rng([seed, 5])
    ranks = np.empty(len(strata))
    for stratum in sorted(set(strata)):
        members = random.permutation([index for index, member in enumerate(strata) if member == stratum])
        ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
        ranks[members[0]] -= 1
    order = np.lexsort((random.random(len(strata)), ranks))
    return np.sort(order[:limit])
