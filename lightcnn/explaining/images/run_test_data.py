"""The test side of a run's data, read again as its training did; and which of its images are explained."""

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
from lightcnn.data.grouping.groups import grouped
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, data_document, split, subset
from lightcnn.errors import DataError, InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.progress import Progress
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder

ASKED = 2_000
"""Images of a test side that the network answers before some of them are chosen."""
CHUNK = 64


@dataclass(frozen=True, eq=False)
class TestSide:
    """A dataset whose test side is explained; `note` is what must be known about it, or empty."""

    dataset: Dataset
    split: Split
    note: str = ""

    def document(self) -> dict[str, Any]:
        """The `data` of report.json."""
        told = data_document(self.dataset, self.split)
        return told | {"note": "; ".join(filter(None, (told["note"], self.note)))}


def test_side(
    run: RunFolder, rule: Preprocess, source: str | None, data_dir: Path | None, progress: Progress
) -> TestSide:
    """Of the run's own data, or of another `source` read by the same recipe.

    Raises: InputError where the data are not there, not those of the run, or of other classes.
    """
    run.require("recipe.yaml")
    recipe = document.load(Recipe, run / "recipe.yaml")
    reading = recipe.reading if data_dir is None else recipe.reading.model_copy(update={"data_dir": str(data_dir)})
    try:
        dataset = grouped(load(source or recipe.data, reading, progress=progress), progress=progress)
    except DataError as error:
        if source is not None:
            raise
        raise InputError(
            f"run {run.path}: its data cannot be read again: {error}; give images, or the data with --data SOURCE"
        ) from None
    if dataset.classes != rule.classes:
        raise InputError(
            f"data {dataset.source}: its classes are {_few(dataset.classes)}, and those of run {run.path} "
            f"{_few(rule.classes)}; give data of the same classes in the same order"
        )
    known = (run.report["data"] or {}).get("fingerprint") == dataset.fingerprint
    if source is None and not known:
        raise InputError(
            f"run {run.path}: data {dataset.source} is not what it was trained on: its fingerprint is not that in "
            "report.json; put back the data, give images, or name other data with --data SOURCE"
        )
    note = "" if known else "not the run's own data: whether it has learned from some of these images is not known"
    return TestSide(dataset, split(dataset, recipe.seed, reading), note)


def candidates(side: TestSide, seed: int) -> NDArray[np.int64]:
    """Indices of the test side, all of it or ASKED of a large one, stratified by class."""
    return subset(side.dataset, side.split.test, ASKED, seed)


def answers(
    explained: ExplainedNetwork, rule: Preprocess, dataset: Dataset, indices: NDArray[np.int64], progress: Progress
) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of images of a dataset."""
    found = []
    for start in range(0, len(indices), CHUNK):
        progress("predicting", start, len(indices))
        pixels = torch.stack([rule.prepare(dataset.images[i]) for i in indices[start : start + CHUNK]])
        found.append(explained.probabilities(explained.inputs(pixels)).numpy())
    progress("predicting", len(indices), len(indices))
    return np.concatenate(found)


def choose(strata: Sequence[Any], most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` places of a list, drawn by a seed: one of every stratum first, then in proportion; ascending."""
    random = np.random.default_rng([seed, 5])
    ranks = np.empty(len(strata))
    for stratum in sorted(set(strata)):
        members = random.permutation([place for place, held in enumerate(strata) if held == stratum])
        ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
        ranks[members[0]] -= 1
    order = np.lexsort((random.random(len(strata)), ranks))
    return np.sort(order[:most])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
