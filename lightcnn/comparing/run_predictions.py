"""What a run answered on its test side: predictions.csv, read as hostile, since files get edited and cut short."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line

FILE = "predictions.csv"
PLAIN = ("path", "split", "group", "label", "prediction")
POOLED = (*PLAIN, "seed", "fold")
SIDES = ("train", "val", "test")
BYTES = 200_000_000
"""Of the largest predictions.csv that is read: 100,000 images of 150 classes."""
SEEDS = 1_000
"""Seeds of a run, at most."""


class _Part(BaseModel):
    """A part of a report.json: what is not named here is let be."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Groups(_Part):
    """Whether it is known which images come from one source, and how many sources a side has."""

    known: bool
    counts: dict[str, Any] = {}


class Data(_Part):
    """The `data` of a report.json."""

    source: str
    stand_in: bool
    fingerprint: str
    classes: list[str]
    counts: dict[str, Any] = {}
    groups: Groups
    groups_shared: int = 0
    leak_allowed: bool = False
    skipped: int = 0
    note: str = ""


class _Predictions(_Part):
    sha256: str


class _Cost(_Part):
    params: int
    macs: int


class _Network(_Part):
    cost: _Cost


class Score(_Part):
    """A score from 0 to 1 with its interval."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Report(_Part):
    """What is needed of a run's report.json. `metrics` are read a score at a time: some have none."""

    command: str
    data: Data
    network: _Network | None = None
    predictions: _Predictions | None = None
    metrics: Any = None

    def score(self, metric: str) -> Score | None:
        """The run's own score of the test side; None where it holds none with an interval."""
        try:
            return Score.model_validate(self.metrics["test"][metric])
        except (ValidationError, TypeError, KeyError, IndexError):
            return None


@dataclass(frozen=True, eq=False)
class RunPredictions:
    """What S networks, one a seed, answered about the same N test images, which stand in the order of their paths.

    labels (N,), groups (N,), right (S, N), probabilities (S, N, C), seeds (S,), folds (S, N): the fold on whose test
    side an image was, all 0 without folds.
    """

    name: str
    path: Path
    classes: tuple[str, ...]
    images: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    right: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    seeds: NDArray[np.int64]
    folds: NDArray[np.int64]
    report: Report

    @property
    def fold_count(self) -> int:
        """How many folds; 1 for a single split."""
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


def read(run_folder: str | Path | RunFolder) -> RunPredictions:
    """The answers of a finished run. Raises: RunError where a file of it is missing, damaged or edited."""
    run = run_folder if isinstance(run_folder, RunFolder) else RunFolder.load(run_folder)
    run.require(FILE)
    report = _validated(run, run.report)
    content = _content(run / FILE)
    if report.predictions and hashlib.sha256(content).hexdigest() != report.predictions.sha256:
        raise RunError(
            f"{run / FILE}: its SHA-256 is not the one in report.json, it was edited after the run; "
            "put back the file that the run wrote"
        )
    classes = tuple(report.data.classes)
    rows = sorted(_rows(run / FILE, content, classes), key=lambda row: (row.seed, row.path))
    parts = {seed: list(of_seed) for seed, of_seed in groupby(rows, key=lambda row: row.seed)}
    seeds, by_seed = list(parts), list(parts.values())
    _require_whole(run / FILE, seeds, by_seed)
    if len(classes) == 2:
        _require_thresholds(run / FILE, rows)
    first = by_seed[0]
    return RunPredictions(
        name=run.path.resolve().name,
        path=run.path,
        classes=classes,
        images=tuple(row.path for row in first),
        labels=np.array([row.label for row in first], dtype=np.int64),
        groups=np.array([row.group for row in first], dtype=np.str_),
        right=np.array([[row.label == row.prediction for row in of_seed] for of_seed in by_seed]),
        probabilities=np.array([[row.probabilities for row in of_seed] for of_seed in by_seed]),
        seeds=np.array(seeds, dtype=np.int64),
        folds=np.array([[row.fold for row in of_seed] for of_seed in by_seed], dtype=np.int64),
        report=report,
    )


def _validated(run: RunFolder, document: Any) -> Report:
    """Raises: RunError."""
    try:
        report = Report.model_validate(document)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"]))
        raise RunError(
            f"{run / 'report.json'}: {place + ': ' if place else ''}{first_line(detail['msg'])}; "
            "give the run of a command that trains"
        ) from None
    classes = report.data.classes
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise RunError(f"{run / 'report.json'}: data.classes: two or more different ones are needed; put back the file")
    return report


def _content(file: Path) -> bytes:
    """Raises: RunError where the file is too large, or cannot be read."""
    try:
        with open(file, "rb") as stream:
            content = stream.read(BYTES + 1)
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror})") from None
    if len(content) > BYTES:
        raise RunError(f"{file}: longer than {BYTES:,} bytes; not the file that a run wrote")
    return content


def _rows(file: Path, content: bytes, classes: Sequence[str]) -> Iterator[_Row]:
    """The rows of the test side. Raises: RunError with the line of the first fault."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        header = next(reader, [])
        probabilities = [f"p_{name}" for name in classes]
        pooled = header[: len(POOLED)] == list(POOLED)
        if header != [*(POOLED if pooled else PLAIN), *probabilities]:
            raise RunError(
                f"{file}:1: the columns must be {','.join(PLAIN)}[,seed,fold] and p_CLASS for the classes of "
                f"report.json in their order, not {','.join(header)[:200] or 'none'}"
            )
        numbers = {name: number for number, name in enumerate(classes)}
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, not {len(header)}; the file was cut short or edited")
            if cells[1] not in SIDES:
                raise ValueError(f"split is {cells[1]!r}, not {', '.join(SIDES)}")
            if cells[1] == "test":
                yield _row(cells, numbers, pooled)
    except UnicodeDecodeError:
        raise RunError(f"{file}: not UTF-8 text; put back the file that the run wrote") from None
    except (csv.Error, ValueError) as error:
        raise RunError(f"{file}:{reader.line_num}: {error}; put back the file that the run wrote") from None


def _row(cells: Sequence[str], numbers: dict[str, int], pooled: bool) -> _Row:
    """Raises: ValueError."""
    for name, cell in (("label", cells[3]), ("prediction", cells[4])):
        if cell not in numbers:
            raise ValueError(f"{name} {cell[:80]!r} is none of the classes")
    seed, fold = (_whole(cells[5], "seed"), _whole(cells[6], "fold")) if pooled else (0, 0)
    given = cells[len(POOLED) if pooled else len(PLAIN) :]
    try:
        probabilities = [float(cell) for cell in given]
    except ValueError:
        raise ValueError(f"probabilities {','.join(given)[:80]!r} are not all numbers") from None
    if not all(0 <= p <= 1 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-6 * len(numbers):
        raise ValueError(f"probabilities {','.join(given)[:80]} are not from 0 to 1 with a sum of 1")
    prediction = numbers[cells[4]]
    if len(numbers) > 2 and probabilities[prediction] < max(probabilities):
        raise ValueError(f"prediction {cells[4][:80]!r} is not the most probable class; the row is damaged or edited")
    return _Row(cells[0], cells[2], numbers[cells[3]], prediction, seed, fold, probabilities)


def _whole(cell: str, name: str) -> int:
    """Raises: ValueError."""
    if not (cell.isascii() and cell.isdigit() and len(cell) < 16):
        raise ValueError(f"{name} {cell[:80]!r} is not a whole number")
    return int(cell)


def _require_whole(file: Path, seeds: Sequence[int], by_seed: Sequence[Sequence[_Row]]) -> None:
    """Raises: RunError where there is no test image, one stands twice, or seeds differ in more than their answers."""
    if not by_seed:
        raise RunError(f"{file}: has no row of the test side; give a run that was tested")
    if len(seeds) > SEEDS:
        raise RunError(f"{file}: {len(seeds):,} seeds, and {SEEDS:,} are the most; compare fewer")
    first = [(row.path, row.group, row.label) for row in by_seed[0]]
    for seed, rows in zip(seeds, by_seed, strict=True):
        paths = [row.path for row in rows]
        twice = next((one for one, other in pairwise(paths) if one == other), None)
        if twice is not None:
            raise RunError(f"{file}: {twice} stands there twice; put back the file that the run wrote")
        if [(row.path, row.group, row.label) for row in rows] != first:
            raise RunError(
                f"{file}: the images, groups or labels of seed {seed} are not those of seed {seeds[0]}; "
                "put back the file that the run wrote"
            )


def _require_thresholds(file: Path, rows: Sequence[_Row]) -> None:
    """Raises: RunError where no threshold on the second of two classes makes the predictions of a seed and fold."""
    first: dict[tuple[int, int], _Row] = {}
    second: dict[tuple[int, int], _Row] = {}
    for row in rows:
        told, part, sign = (second, (row.seed, row.fold), 1) if row.prediction else (first, (row.seed, row.fold), -1)
        if part not in told or sign * row.probabilities[1] < sign * told[part].probabilities[1]:
            told[part] = row
    for part in first.keys() & second.keys():
        if second[part].probabilities[1] < first[part].probabilities[1]:
            raise RunError(
                f"{file}: no threshold on the second class tells {second[part].path} from {first[part].path} as they "
                "were predicted; rows are damaged or edited, put back the file that the run wrote"
            )
