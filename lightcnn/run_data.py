"""The data of a run, read again as in its training: its images, and which of them are in which set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightcnn import document
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.positive_class import in_order
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, data_document, make_split
from lightcnn.errors import DataError, InputError
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import RECIPE_FILE, Reading, Recipe
from lightcnn.run_folder import RunFolder

MAX_LISTED = 10
"""Number of classes that an error names."""


@dataclass(frozen=True, eq=False)
class RunData:
    """A data set with its split; `note` is what readers must know about it, or empty."""

    dataset: Dataset
    split: Split
    note: str = ""

    def document(self) -> dict[str, Any]:
        """The `data` of report.json."""
        data = data_document(self.dataset, self.split)
        return data | {"note": "; ".join(filter(None, (data["note"], self.note)))}


def load_run_data(
    run: RunFolder,
    preprocess: Preprocess,
    *,
    source: str | None = None,
    data_dir: Path | None = None,
    progress: Progress = no_progress,
    remedy: str = "give the data with --data SOURCE",
) -> RunData:
    """The run's own data, or another `source` read with the same recipe.

    `remedy` is what a user can do if the run's own data cannot be read.

    Raises: InputError if the data are missing, differ from those of the run, or have other classes.
    """
    run.require(RECIPE_FILE)
    recipe = document.load(Recipe, run / RECIPE_FILE)
    changes = {"positive": None} | ({} if data_dir is None else {"data_dir": str(data_dir)})
    reading = recipe.reading.model_copy(update=changes)
    dataset = in_order(_load_dataset(run, recipe, reading, source, progress, remedy), preprocess.classes)
    if dataset.classes != preprocess.classes:
        raise InputError(
            f"data {dataset.source}: its classes are {_format_classes(dataset.classes)}, but those of run {run.path} "
            f"are {_format_classes(preprocess.classes)}; give data with the same classes in the same order"
        )
    is_own = run.data.get("fingerprint") == dataset.fingerprint
    if source is None and not is_own:
        raise InputError(
            f"run {run.path}: data {dataset.source} differ from what it was trained on: the fingerprint is not that in "
            f"report.json; restore the data, or {remedy}"
        )
    note = "" if is_own else "not the run's own data: the network may have been trained on some of these images"
    split = make_split(dataset, recipe.seed, reading)
    return RunData(dataset.with_scale(preprocess.scale), split, note)


def _load_dataset(
    run: RunFolder, recipe: Recipe, reading: Reading, source: str | None, progress: Progress, remedy: str
) -> Dataset:
    try:
        return find_groups(
            load(source or recipe.data, reading, progress=progress), reading.duplicates, progress=progress
        )
    except DataError as error:
        if source is not None:
            raise
        raise InputError(f"run {run.path}: its data cannot be read again: {error}; {remedy}") from None


def _format_classes(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
