"""A .csv with one row per image: its path, its label and, if known, its group and its split."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PureWindowsPath

import numpy as np

from lightcnn.csv_files import unguard
from lightcnn.data.dataset import SPLIT_NAMES, Dataset, assemble
from lightcnn.data.files.spelling import SPLIT_ALIASES, composed, require_class_names
from lightcnn.data.sources.read_files import MAX_LISTED, read
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress
from lightcnn.text import nearest

REQUIRED_COLUMNS, OPTIONAL_COLUMNS = ("path", "label"), ("group", "split")
MAX_BYTES = 200_000_000
MAX_CHARACTERS = 1_000
"""Most characters of a value."""
MISSING = frozenset({"", "nan", "NaN", "NAN", "None", "null", "NULL", "N/A", "n/a", "NA", "<NA>", "#N/A"})
"""Missing values as spreadsheets and data frames write them. `none` and `na` in lower case are names."""


@dataclass(frozen=True)
class _Row:
    """One row of the file; `line` counts from 1, as editors do."""

    line: int
    path: str
    label: str
    group: str
    split: str


def read_manifest(path: Path, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> Dataset:
    """Reads every image that a manifest names; paths are relative to the manifest's folder. Raises: DataError."""
    rows = _rows(path)
    labels = [row.label for row in rows]
    require_class_names(f"data {path}: label", dict.fromkeys(labels))
    classes = tuple(sorted(set(labels), key=_order(labels)))
    split_given = _require_splits(path, rows, classes)
    groups_given = _all_or_none(path, rows, "group", "images of one patient or photograph share a value")
    files = _files(path, rows)
    reading = read(str(path), path.parent, files, skip_corrupt=skip_corrupt, progress=progress)
    usable = [rows[position] for position in reading.positions]
    number = {name: index for index, name in enumerate(classes)}
    return assemble(
        str(path),
        reading.images,
        np.array([number[row.label] for row in usable], dtype=np.int64),
        classes,
        paths=tuple(row.path for row in usable),
        split=np.array([row.split if split_given else "" for row in usable], dtype="<U5"),
        groups=np.array([row.group for row in usable]) if groups_given else None,
        groups_from="manifest" if groups_given else "none",
        skipped=reading.skipped,
        note=reading.note,
    )


def _rows(path: Path) -> list[_Row]:
    """The rows of the file that are not blank, each with a path and a label. Raises: DataError."""
    lines = _fields(path, _text(path))
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    columns = _columns(path, header)
    rows = []
    for line, fields in lines:
        if not any(field.strip() for field in fields):
            continue  # spreadsheets leave such rows at the end
        if len(fields) != len(header):
            raise DataError(
                f"data {path}:{line}: {len(fields)} values for {len(header)} columns; quote values that contain a comma"
            )
        values = {name: unguard(fields[index].strip()) for name, index in columns.items()}
        row = _Row(line, values["path"], composed(values["label"]), values.get("group", ""), values.get("split", ""))
        for key in values:
            if len(values[key]) > MAX_CHARACTERS:
                raise DataError(
                    f"data {path}:{line}: {key}: {len(values[key]):,} characters; give at most {MAX_CHARACTERS:,}"
                )
        for key in REQUIRED_COLUMNS:
            if getattr(row, key) in MISSING:
                raise DataError(
                    f"data {path}:{line}: {key}: {getattr(row, key)!r} is not a {key}; fill it in, or remove the row"
                )
        rows.append(row)
    if not rows:
        raise DataError(f"data {path}: no rows below the column names; add one for each image")
    return rows


def _text(path: Path) -> str:
    """The content of the file. Raises: DataError if it is too large, or not text in UTF-8."""
    if not path.is_file():
        raise DataError(f"data {path}: no such file; check the path")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"data {path}: {size:,} bytes, more than {MAX_BYTES:,}; a manifest has one short row per image")
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"data {path}: is UTF-16 text; save it as CSV in UTF-8")
    if b"\0" in content:
        raise DataError(f"data {path}: contains zero bytes, so it is not a CSV file; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"data {path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as CSV in UTF-8"
        ) from None


def _fields(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row that is not empty. Raises: DataError."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"data {path}:{line}: not valid CSV ({error}); check the quotes there") from None
        if fields:
            yield line, fields


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Name → position of each column that is read. Raises: DataError."""
    where, listed = f"data {path}:1", ", ".join(header) or "none"
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if not set(REQUIRED_COLUMNS) <= set(header) and any(separator in field for field in header):
            raise DataError(f"{where}: columns are separated by {name}; save it with commas")
    for key in REQUIRED_COLUMNS:
        if key not in header:
            raise DataError(
                f"{where}: no column {key!r} (columns: {listed[:200]}){nearest(key, header)}; name the right one {key}"
            )
    for key in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS):
        if header.count(key) > 1:
            raise DataError(f"{where}: column {key!r} occurs {header.count(key)} times; keep one of them")
    for key in OPTIONAL_COLUMNS:
        # A group column under a name that is not read would be an invisible leak.
        similar = [name for name in header if name.lower() in (key, f"{key}s")]
        if key not in header and similar:
            raise DataError(f"{where}: column {similar[0]!r} is not read; rename it to {key!r}, or remove it")
    return {key: header.index(key) for key in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) if key in header}


def _order(labels: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """A sort key for labels: by value if all are whole numbers, else alphabetical."""
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels)
    return lambda label: (int(label) if numbers else 0, label)


def _all_or_none(path: Path, rows: Sequence[_Row], key: str, remedy: str) -> bool:
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


def _require_splits(path: Path, rows: Sequence[_Row], classes: Sequence[str]) -> bool:
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


def _files(path: Path, rows: Sequence[_Row]) -> list[Path]:
    """The file of every row. Raises: DataError if one is missing, outside the manifest's folder, or named twice."""
    root = path.parent.resolve()
    resolved = lru_cache(maxsize=4096)(lambda folder: Path(os.path.realpath(folder)))
    files: list[Path] = []
    missing: list[_Row] = []
    first_rows: dict[object, _Row] = {}
    for row in rows:
        where = f"data {path}:{row.line}: path: {row.path!r}"
        file = _spelt(path.parent, where, row.path)
        real = resolved(file.parent) / file.name
        linked = os.path.islink(real)  # noqa: PTH114 - pathlib raises an error for a name that is too long
        real = Path(os.path.realpath(real)) if linked or file.name == ".." else real
        if not real.is_relative_to(root):
            raise DataError(f"{where} leads out of {path.parent}; move the image below that folder")
        try:
            status = real.stat()
        except (OSError, ValueError):
            missing.append(row)
            continue
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{where} is not a file; name an image")
        # Which spellings of a path are the same file depends on the file system, so files are compared, not paths; hard
        # links of one file are different images.
        key = (status.st_dev, status.st_ino) if status.st_nlink == 1 and status.st_ino else real
        _require_new(where, row, first_rows.setdefault(key, row))
        files.append(file)
    if missing:
        first = ", ".join(f"{row.path!r} (line {row.line})" for row in missing[:MAX_LISTED])
        more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
        raise DataError(
            f"data {path}: path: {len(missing)} of {len(rows)} files are missing: {first}{more}; "
            f"paths are relative to {path.parent}"
        )
    return files


def _spelt(folder: Path, where: str, name: str) -> Path:
    """The path of a name, in the Unicode form in which the file exists. Raises: DataError."""
    if name.startswith(("/", "~")) or PureWindowsPath(name).drive:
        raise DataError(f"{where} is not relative to {folder}; move the images below it and write paths relative to it")
    if "\\" in name:
        raise DataError(f"{where} contains \\; write / between folders")
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD") if not name.isascii()))
    return next((folder / form for form in forms if os.path.lexists(folder / form)), folder / name)


def _require_new(where: str, row: _Row, first: _Row) -> None:
    """Raises: DataError if an earlier row names the same file."""
    if first is row:
        return
    spelling = "" if first.path == row.path else f", as {first.path!r}"
    if first.label != row.label:
        raise DataError(
            f"{where} has label {row.label!r} here and {first.label!r} in line {first.line}{spelling}; "
            "one image has one label: keep the correct row"
        )
    raise DataError(f"{where} is in line {first.line} already{spelling}; keep one of the rows")
