"""The test set of a run's data, read again as in its training, and the choice of images from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.positive_class import in_order
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, data_document, make_split, subset
from lightcnn.data.tensors import network_pixels
from lightcnn.errors import DataError, InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.progress import Progress
from lightcnn.recipe import RECIPE_FILE, Reading, Recipe
from lightcnn.run_folder import RunFolder

MAX_CANDIDATES = 2_000
"""Maximum number of test images that the network predicts before some of them are chosen."""
CHUNK = 64
"""Images that are prepared at once."""
MAX_LISTED = 10
"""Number of classes that an error names."""


@dataclass(frozen=True, eq=False)
class RunTestData:
    """A data set whose test set is explained; `note` is what readers must know about it, or empty."""

    dataset: Dataset
    split: Split
    note: str = ""

    def document(self) -> dict[str, Any]:
        """The `data` of report.json."""
        data = data_document(self.dataset, self.split)
        return data | {"note": "; ".join(filter(None, (data["note"], self.note)))}


def load_test_data(
    run: RunFolder, preprocess: Preprocess, source: str | None, data_dir: Path | None, progress: Progress
) -> RunTestData:
    """The run's own data, or another `source` read with the same recipe.

    Raises: InputError if the data are missing, differ from those of the run, or have other classes.
    """
    run.require(RECIPE_FILE)
    recipe = document.load(Recipe, run / RECIPE_FILE)
    changes = {"positive": None} | ({} if data_dir is None else {"data_dir": str(data_dir)})
    reading = recipe.reading.model_copy(update=changes)
    dataset = in_order(_load_dataset(run, recipe, reading, source, progress), preprocess.classes)
    if dataset.classes != preprocess.classes:
        raise InputError(
            f"data {dataset.source}: its classes are {_format_classes(dataset.classes)}, but those of run {run.path} "
            f"are {_format_classes(preprocess.classes)}; give data with the same classes in the same order"
        )
    is_own = run.data.get("fingerprint") == dataset.fingerprint
    if source is None and not is_own:
        raise InputError(
            f"run {run.path}: data {dataset.source} differ from what it was trained on: the fingerprint is not that in "
            "report.json; restore the data, give images, or give other data with --data SOURCE"
        )
    note = "" if is_own else "not the run's own data: the network may have been trained on some of these images"
    split = make_split(dataset, recipe.seed, reading)
    return RunTestData(dataset.with_scale(preprocess.scale), split, note)


def _load_dataset(run: RunFolder, recipe: Recipe, reading: Reading, source: str | None, progress: Progress) -> Dataset:
    try:
        return find_groups(
            load(source or recipe.data, reading, progress=progress), fast=reading.fast, progress=progress
        )
    except DataError as error:
        if source is not None:
            raise
        raise InputError(
            f"run {run.path}: its data cannot be read again: {error}; give images, or the data with --data SOURCE"
        ) from None


def candidate_indices(data: RunTestData, seed: int) -> NDArray[np.int64]:
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


def _format_classes(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
