"""predictions.csv: what a network said of every image of the validation and test side."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.split import Split
from lightcnn.decisions import decide
from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder

PREDICTION_COLUMNS = ("path", "split", "group", "label", "prediction")


def write_predictions(run: RunFolder, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Writes the table, and returns what report.json says of it: its SHA-256, by which an edited file is found."""
    run.write_csv("predictions.csv", header, rows)
    return {"sha256": hashlib.sha256((run / "predictions.csv").read_bytes()).hexdigest()}


def read_predictions(run: RunFolder) -> list[dict[str, str]]:
    """The rows of a finished run's table. Raises: RunError where it was edited after the run, or is missing."""
    run.require("predictions.csv")
    content, held = (run / "predictions.csv").read_bytes(), run.report.get("predictions") or {}
    if hashlib.sha256(content).hexdigest() != held.get("sha256"):
        raise RunError(
            f"{run / 'predictions.csv'}: its SHA-256 is not the one in report.json, it was edited after the run; put "
            "back the file that the run wrote"
        )
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def prediction_table(
    dataset: Dataset, split: Split, probabilities: Mapping[str, NDArray[Any]], threshold: float = 0.5
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The header and a row an image, from the probabilities (N, classes) of every side."""
    rows = []
    for side, of_side in probabilities.items():
        for index, decided, row in zip(getattr(split, side), decide(of_side, threshold), of_side, strict=True):
            label, prediction = dataset.classes[dataset.labels[index]], dataset.classes[decided]
            shown = (f"{p:.8f}" for p in row)
            rows.append((dataset.paths[index], side, dataset.groups[index], label, prediction, *shown))
    return [*PREDICTION_COLUMNS, *(f"p_{name}" for name in dataset.classes)], rows
