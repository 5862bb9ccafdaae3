"""What a network predicted: predictions.csv, for each image of the validation and test set; and test_images.csv.

test_images.csv has the SHA-256 of the pixels of every test image, so that runs can be compared that name their files
differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import csv_files
from lightcnn.data.dataset import Dataset
from lightcnn.data.split import Split
from lightcnn.decisions import decide
from lightcnn.errors import RunError
from lightcnn.operating_points import MAX_CLASSES, STEPS
from lightcnn.run_files import VALUE_ERRORS, earlier_values, read_limited
from lightcnn.run_folder import RunFolder

MAX_BYTES = 600_000_000
"""Size of the largest predictions.csv that is read: 50,000 images of 1,000 classes."""
IMAGES_FILE = "test_images.csv"
IMAGE_COLUMNS = ("path", "sha256")
"""The columns of `IMAGES_FILE`; the hash is that of the decoded pixels."""
PREDICTION_COLUMNS = ("path", "split", "group", "label", "prediction")


def write_predictions(run: RunFolder, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Writes the table, and returns its entry in report.json: the SHA-256, which reveals later edits."""
    run.write_csv("predictions.csv", header, rows)
    return {"sha256": run.sha256("predictions.csv")}


def hashes_of_test_images(dataset: Dataset, split: Split) -> list[tuple[str, str]]:
    """Path and SHA-256 of the pixels of every test image: the rows of `IMAGES_FILE`."""
    return [(dataset.paths[index], dataset.pixel_hashes[index].decode()) for index in split.test]


def write_test_images(run: RunFolder, images: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Writes `IMAGES_FILE`, and returns its part of the entry `predictions` of report.json."""
    run.write_csv(IMAGES_FILE, IMAGE_COLUMNS, images)
    return {"images_sha256": run.sha256(IMAGES_FILE)}


def read_test_images(run: RunFolder, sha256: str | None) -> dict[str, str]:
    """Path → SHA-256 of the pixels of the test images; empty if the run has none. Raises: RunError if it was edited."""
    if sha256 is None:
        return {}
    content = read_limited(run.path, IMAGES_FILE, MAX_BYTES)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(
            f"{run / IMAGES_FILE}: its SHA-256 is not the one in report.json, it was edited after the run; restore the "
            "file that the run wrote"
        )
    with earlier_values(run.path, IMAGES_FILE):
        return {row[IMAGE_COLUMNS[0]]: row[IMAGE_COLUMNS[1]] for row in csv_files.read(content)}


def read_predictions(run: RunFolder) -> list[dict[str, str]]:
    """The rows of the table of a finished run. Raises: RunError if it is missing, or was edited after the run."""
    run.require("predictions.csv")
    content, entry = read_limited(run.path, "predictions.csv", MAX_BYTES), run.report.get("predictions")
    if not isinstance(entry, dict) or hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise RunError(
            f"{run / 'predictions.csv'}: its SHA-256 is not the one in report.json, it was edited after the run; "
            "restore the file that the run wrote"
        )
    with earlier_values(run.path, "predictions.csv"):
        rows = csv_files.read(content)
        if any(None in row or None in row.values() or not row.keys() >= set(PREDICTION_COLUMNS) for row in rows):
            raise ValueError("a row has too few or too many cells")
    return rows


def count_test_probabilities(run: RunFolder) -> list[dict[str, Any]] | None:
    """The counts of `operating_points.operating_document`, from predictions.csv.

    None for a run with more than `operating_points.MAX_CLASSES` classes or several trainings, and if the table is
    missing, damaged or edited.
    """
    try:
        classes = [str(name) for name in run.report["data"]["classes"]]
        if len(classes) > MAX_CLASSES:  # the table may be large
            return None
        rows = [row for row in read_predictions(run) if row["split"] == "test"]
        if not rows or "seed" in rows[0]:
            return None
        labels = np.array([classes.index(row["label"]) for row in rows])
        table = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
    except (RunError, *VALUE_ERRORS):
        return None
    if not ((table >= 0) & (table <= 1)).all():
        return None
    places = np.searchsorted(np.arange(STEPS + 1) / STEPS, table, side="right") - 1
    return [
        {"class": name, "inside": _counts(places[labels == c, c]), "outside": _counts(places[labels != c, c])}
        for c, name in enumerate(classes)
    ]


def _counts(places: NDArray[np.int64]) -> list[int]:
    return [int(count) for count in np.bincount(places, minlength=STEPS + 1)]


def prediction_table(
    dataset: Dataset, split: Split, probabilities: Mapping[str, NDArray[Any]], threshold: float = 0.5
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The header and one row per image, from the probabilities (N, classes) of each split."""
    rows = []
    for split_name, table in probabilities.items():
        for index, decided, row in zip(getattr(split, split_name), decide(table, threshold), table, strict=True):
            label, prediction = dataset.classes[dataset.labels[index]], dataset.classes[decided]
            cells = (f"{p:.8f}" for p in row)
            rows.append((dataset.paths[index], split_name, dataset.groups[index], label, prediction, *cells))
    return [*PREDICTION_COLUMNS, *(f"p_{name}" for name in dataset.classes)], rows
