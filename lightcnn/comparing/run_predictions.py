"""What a run predicted on its test set: predictions.csv, read as untrusted, since files get edited and truncated."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn import csv_files, document
from lightcnn.comparing.run_report import RESTORE, RunReport, read_report
from lightcnn.errors import DocumentError, RunError
from lightcnn.evaluation.predictions import MAX_BYTES, read_test_images
from lightcnn.recipe import RECIPE_FILE, Recipe, with_teacher_beside
from lightcnn.run_files import read_limited
from lightcnn.run_folder import RunFolder

PREDICTIONS_FILE = "predictions.csv"
SINGLE_COLUMNS = ("path", "split", "group", "label", "prediction")
POOLED_COLUMNS = (*SINGLE_COLUMNS, "seed", "fold")
SPLIT_NAMES = ("train", "val", "test")
MAX_SEEDS = 1_000
"""Seeds that a run may have."""


@dataclass(frozen=True, eq=False)
class RunPredictions:
    """What S networks, one per seed, predicted for the same N test images, which are in the order of their paths.

    labels (N,), groups (N,), correct (S, N), probabilities (S, N, C), seeds (S,), folds (S, N): the fold whose test set
    contained the image; all 0 without folds. pixels (N,): SHA-256 of the pixels of each image; empty for runs of
    earlier versions. `recipe`: how it was trained; None if that is not known.
    """

    name: str
    path: Path
    classes: tuple[str, ...]
    images: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    correct: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    seeds: NDArray[np.int64]
    folds: NDArray[np.int64]
    groups_known: bool
    pixels: tuple[str, ...]
    recipe: Recipe | None
    report: RunReport

    @property
    def fold_count(self) -> int:
        """The number of folds; 1 for a single split."""
        return len(np.unique(self.folds))


@dataclass(frozen=True)
class _Row:
    path: str
    group: str
    label: int
    prediction: int
    seed: int
    fold: int
    probabilities: list[float]


def read_run(folder: str | Path | RunFolder) -> RunPredictions:
    """The predictions of a finished run. Raises: RunError if one of its files is missing, damaged or edited."""
    run = folder if isinstance(folder, RunFolder) else RunFolder.load(folder)
    run.require(PREDICTIONS_FILE)
    report = read_report(run)
    content = read_limited(run.path, PREDICTIONS_FILE, MAX_BYTES)
    if report.predictions and hashlib.sha256(content).hexdigest() != report.predictions.sha256:
        raise RunError(
            f"{run / PREDICTIONS_FILE}: its SHA-256 is not the one in report.json, so it was edited after the run; "
            f"{RESTORE}"
        )
    classes = tuple(report.data.classes)
    rows = sorted(_rows(run / PREDICTIONS_FILE, content, classes), key=lambda row: (row.seed, row.path))
    parts = {seed: list(of_seed) for seed, of_seed in groupby(rows, key=lambda row: row.seed)}
    seeds, by_seed = list(parts), list(parts.values())
    _require_complete(run / PREDICTIONS_FILE, seeds, by_seed)
    if len(classes) == 2:
        _require_thresholds(run / PREDICTIONS_FILE, rows)
    first = by_seed[0]
    hashes = read_test_images(run, report.predictions.images_sha256 if report.predictions else None)
    return RunPredictions(
        name=run.path.resolve().name,
        path=run.path,
        classes=classes,
        images=tuple(row.path for row in first),
        labels=np.array([row.label for row in first], dtype=np.int64),
        groups=np.array([row.group for row in first], dtype=np.str_),
        correct=np.array([[row.label == row.prediction for row in of_seed] for of_seed in by_seed]),
        probabilities=np.array([[row.probabilities for row in of_seed] for of_seed in by_seed]),
        seeds=np.array(seeds, dtype=np.int64),
        folds=np.array([[row.fold for row in of_seed] for of_seed in by_seed], dtype=np.int64),
        groups_known=report.data.groups.known,
        pixels=tuple(hashes[row.path] for row in first) if all(row.path in hashes for row in first) else (),
        recipe=_recipe(run),
        report=report,
    )


def _recipe(run: RunFolder) -> Recipe | None:
    """The recipe that a run was trained with; None if it has none that can be read."""
    try:
        return with_teacher_beside(document.load(Recipe, run / RECIPE_FILE), run / RECIPE_FILE)
    except DocumentError:
        return None


def _rows(file: Path, content: bytes, classes: Sequence[str]) -> Iterator[_Row]:
    """The rows of the test set. Raises: RunError with the number of the first line that is invalid."""
    try:
        reader = csv.reader(csv_files.text_of(content), strict=True)
        table = ([csv_files.unguard(cell) for cell in cells] for cells in reader)
        header = next(table, [])
        probabilities = [f"p_{name}" for name in classes]
        pooled = header[: len(POOLED_COLUMNS)] == list(POOLED_COLUMNS)
        if header != [*(POOLED_COLUMNS if pooled else SINGLE_COLUMNS), *probabilities]:
            raise RunError(
                f"{file}:1: the columns must be {','.join(SINGLE_COLUMNS)}[,seed,fold] and p_CLASS for the classes of "
                f"report.json in their order, not {','.join(header)[:200] or 'none'}"
            )
        numbers = {name: number for number, name in enumerate(classes)}
        for cells in table:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, not {len(header)}; the file was truncated or edited")
            if cells[1] not in SPLIT_NAMES:
                raise ValueError(f"split is {cells[1]!r}, not one of {', '.join(SPLIT_NAMES)}")
            if cells[1] == "test":
                yield _row(cells, numbers, pooled)
    except (csv.Error, ValueError) as error:
        raise RunError(f"{file}:{reader.line_num}: {error}; {RESTORE}") from None


def _row(cells: Sequence[str], numbers: dict[str, int], pooled: bool) -> _Row:
    """The row of one line; `numbers`: class → index. Raises: ValueError."""
    for name, cell in (("label", cells[3]), ("prediction", cells[4])):
        if cell not in numbers:
            raise ValueError(f"{name} {cell[:80]!r} is not one of the classes")
    seed, fold = (_whole_number(cells[5], "seed"), _whole_number(cells[6], "fold")) if pooled else (0, 0)
    texts = cells[len(POOLED_COLUMNS) if pooled else len(SINGLE_COLUMNS) :]
    try:
        probabilities = [float(cell) for cell in texts]
    except ValueError:
        raise ValueError(f"probabilities {','.join(texts)[:80]!r} are not all numbers") from None
    if not all(0 <= p <= 1 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-6 * len(numbers):
        raise ValueError(f"probabilities {','.join(texts)[:80]} are not between 0 and 1 with a sum of 1")
    prediction = numbers[cells[4]]
    if len(numbers) > 2 and probabilities[prediction] < max(probabilities):
        raise ValueError(f"prediction {cells[4][:80]!r} is not the most probable class; the row is damaged or edited")
    return _Row(cells[0], cells[2], numbers[cells[3]], prediction, seed, fold, probabilities)


def _whole_number(cell: str, name: str) -> int:
    """The number in a cell. Raises: ValueError."""
    if not (cell.isascii() and cell.isdigit() and len(cell) < 16):
        raise ValueError(f"{name} {cell[:80]!r} is not a whole number")
    return int(cell)


def _require_complete(file: Path, seeds: Sequence[int], by_seed: Sequence[Sequence[_Row]]) -> None:
    """Raises: RunError if there is no test image, one appears twice, or its label or group depends on the seed."""
    if not by_seed:
        raise RunError(f"{file}: has no row of the test set; name a run that was tested")
    if len(seeds) > MAX_SEEDS:
        raise RunError(f"{file}: {len(seeds):,} seeds, but at most {MAX_SEEDS:,} can be read; name a run with fewer")
    first = [(row.path, row.group, row.label) for row in by_seed[0]]
    for seed, rows in zip(seeds, by_seed, strict=True):
        paths = [row.path for row in rows]
        repeated = next((path for path, following in pairwise(paths) if path == following), None)
        if repeated is not None:
            raise RunError(f"{file}: {repeated} is listed twice; {RESTORE}")
        if [(row.path, row.group, row.label) for row in rows] != first:
            raise RunError(
                f"{file}: the images, groups or labels of seed {seed} are not those of seed {seeds[0]}; {RESTORE}"
            )


def _require_thresholds(file: Path, rows: Sequence[_Row]) -> None:
    """Raises: RunError if no threshold on the second of two classes yields the predictions of a seed and fold."""
    highest_first: dict[tuple[int, int], _Row] = {}
    lowest_second: dict[tuple[int, int], _Row] = {}
    for row in rows:
        extreme, sign = (lowest_second, 1) if row.prediction else (highest_first, -1)
        part = (row.seed, row.fold)
        if part not in extreme or sign * row.probabilities[1] < sign * extreme[part].probabilities[1]:
            extreme[part] = row
    for part in highest_first.keys() & lowest_second.keys():
        if lowest_second[part].probabilities[1] < highest_first[part].probabilities[1]:
            raise RunError(
                f"{file}: no threshold on the second class separates {lowest_second[part].path} from "
                f"{highest_first[part].path} as they were predicted; rows are damaged or edited, {RESTORE}"
            )
