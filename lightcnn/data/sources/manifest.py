"""A .csv with one row per image: its path, its label and, if known, its group and its split."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lightcnn.data.dataset import SPLIT_NAMES, Dataset, assemble
from lightcnn.data.files.spelling import SPLIT_ALIASES, require_class_names, with_one_spelling
from lightcnn.data.grouping.identity_columns import identity_warnings
from lightcnn.data.sources.read_files import read
from lightcnn.data.sources.row_files import files_of
from lightcnn.data.sources.table import MISSING, ManifestRow, read_table
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning
from lightcnn.progress import Progress, no_progress
from lightcnn.text import nearest

MAX_EXAMPLES = 3
"""Most groups with several spellings that a warning lists."""


def read_manifest(path: Path, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> Dataset:
    """Reads every image that a manifest names; paths are relative to the manifest's folder. Raises: DataError."""
    table = read_table(path)
    rows = table.rows
    labels = [row.label for row in rows]
    require_class_names(f"data {path}: label", dict.fromkeys(labels))
    classes = tuple(sorted(set(labels), key=label_order(labels)))
    split_given = _require_splits(path, rows, classes)
    groups_given = _all_or_none(path, rows, "group", "images of one patient or photograph share a value")
    files, names = files_of(path, rows)
    reading = read(str(path), files, skip_corrupt=skip_corrupt, progress=progress)
    usable = [rows[position] for position in reading.positions]
    groups, spellings = with_one_spelling([row.group for row in usable]) if groups_given else ([], [])
    columns = {name: [row.identities[i] for row in usable] for i, name in enumerate(table.identities)}
    number = {name: index for index, name in enumerate(classes)}
    return assemble(
        str(path),
        reading.images,
        np.array([number[row.label] for row in usable], dtype=np.int64),
        classes,
        paths=tuple(names[position] for position in reading.positions),
        split=np.array([row.split if split_given else "" for row in usable], dtype="<U5"),
        groups=np.array(groups) if groups_given else None,
        groups_from="manifest" if groups_given else "none",
        skipped=reading.skipped,
        warnings=(
            *spelling_warnings(spellings),
            *identity_warnings(columns, [row.label for row in usable], groups),
        ),
    )


def spelling_warnings(spellings: Sequence[Sequence[str]]) -> list[ReportWarning]:
    """A warning about groups that are written in several ways."""
    if not spellings:
        return []
    examples = "; ".join(" and ".join(map(repr, names[:MAX_EXAMPLES])) for names in spellings[:MAX_EXAMPLES])
    noun, verb = ("group is", "was") if len(spellings) == 1 else ("groups are", "were")
    message = (
        f"{len(spellings):,} {noun} written in more than one way ({examples}), and {verb} read as one: write each "
        "group in one way, or rename it if they are different groups."
    )
    return [ReportWarning("group_spellings", message, len(spellings))]


def label_order(labels: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """A sort key for labels: by value if all are whole numbers, else alphabetical."""
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels)
    return lambda label: (int(label) if numbers else 0, label)


def _all_or_none(path: Path, rows: Sequence[ManifestRow], key: str, remedy: str) -> bool:
    """Whether a column has values. Raises: DataError if some rows have one and others have none.

    An image of unknown group may show a patient of another set, so it is not assumed to be a group of its own.
    """
    empty = [row for row in rows if getattr(row, key) in MISSING]
    if 0 < len(empty) < len(rows):
        raise DataError(
            f"data {path}:{empty[0].line}: {key}: empty here and in {len(empty) - 1} other rows, but not in all; "
            f"fill it in ({remedy}), or remove the column"
        )
    return not empty


def _require_splits(path: Path, rows: Sequence[ManifestRow], classes: Sequence[str]) -> bool:
    """Whether a split is given. Raises: DataError for unknown names, and if train lacks a class."""
    if not _all_or_none(path, rows, "split", f"one of {', '.join(SPLIT_NAMES)}"):
        return False
    for row in rows:
        if row.split not in SPLIT_NAMES:
            alias = SPLIT_ALIASES.get(row.split.lower(), row.split.lower())
            remedy = f"; write {alias}" if alias in SPLIT_NAMES else nearest(row.split, SPLIT_NAMES)
            raise DataError(
                f"data {path}:{row.line}: split: {row.split!r} is not one of {', '.join(SPLIT_NAMES)}"
                f"{remedy or '; write one of them'}"
            )
    trained = {row.label for row in rows if row.split == "train"}
    if not trained:
        raise DataError(f"data {path}: split: no row has train; write it into the rows to train on")
    for row in rows:
        if row.label not in trained:
            raise DataError(
                f"data {path}:{row.line}: split: class {row.label!r} is in {row.split} but not in train; add rows"
            )
    return True
