"""The rows of a .csv, whatever program wrote it: the values of the columns that are read, and of suspicious ones."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightcnn.csv_files import unguard
from lightcnn.data.files.spelling import composed
from lightcnn.data.grouping.identity_columns import looks_like_identity
from lightcnn.errors import DataError
from lightcnn.text import nearest

REQUIRED_COLUMNS, OPTIONAL_COLUMNS = ("path", "label"), ("group", "split")
COLUMN_ALIASES = {
    "path": ("file", "filename", "file_name", "filepath", "image", "image_path", "image_id", "img", "name", "paths"),
    "label": ("class", "category", "diagnosis", "dx", "target", "y", "labels", "class_name"),
}
"""Other common names of the required columns, which an error suggests to rename."""
MAX_BYTES = 200_000_000
MAX_CHARACTERS = 1_000
"""Most characters of a value."""
MISSING = frozenset({"", "nan", "NaN", "NAN", "None", "null", "NULL", "N/A", "n/a", "NA", "<NA>", "#N/A"})
"""Missing values as spreadsheets and data frames write them. `none` and `na` in lower case are names."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row of the file; `line` counts from 1, as editors do. `identities`: values of `identities` in the table."""

    line: int
    path: str
    label: str
    group: str
    split: str
    identities: tuple[str, ...] = ()


@dataclass(frozen=True)
class ManifestTable:
    """The rows of a file, and the columns that look like patients, lesions or studies but are not read."""

    rows: tuple[ManifestRow, ...]
    identities: tuple[str, ...]


def read_table(path: Path) -> ManifestTable:
    """The rows of the file that are not blank, each with a path and a label. Raises: DataError."""
    lines = _fields(path, _text(path))
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    columns = _columns(path, header)
    unread = [index for index in range(len(header)) if index not in columns.values()]
    identities = [index for index in unread if looks_like_identity(header[index])]
    rows = []
    for line, fields in lines:
        if not any(field.strip() for field in fields):
            continue  # spreadsheets leave such rows at the end
        if len(fields) != len(header):
            raise DataError(
                f"data {path}:{line}: {len(fields)} values for {len(header)} columns; quote values that contain a comma"
            )
        values = {name: unguard(fields[index].strip()) for name, index in columns.items()}
        others = tuple("" if fields[i].strip() in MISSING else fields[i] for i in identities)
        group, split = values.get("group", ""), values.get("split", "")
        row = ManifestRow(line, values["path"], composed(values["label"]), group, split, others)
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
    return ManifestTable(tuple(rows), tuple(header[index] for index in identities))


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
    separator, text = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
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


def _separator(text: str) -> tuple[str, str]:
    """What separates the columns, and the text with an empty line instead of `sep=;`, which Excel writes first.

    Without that line it is a comma, or else what separates the words path and label in the first line.
    """
    stated = re.match(r"sep=([,;|\t])[ \t,;]*(?=\r|\n)", text, re.IGNORECASE)
    if stated:
        return stated[1], text[stated.end() :]
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return next(
        (separator for separator in ",;\t" if set(REQUIRED_COLUMNS) <= set(_names(header, separator))), ","
    ), text


def _names(header: str, separator: str) -> list[str]:
    """The names of columns in lower case, without quotes."""
    return [name.strip(' "').lower() for name in header.split(separator)]


def _missing_columns(missing: Sequence[str], header: Sequence[str], listed: str) -> str:
    """Which required columns are missing, and what to do about it."""
    others = {key: next((name for name in header if name in COLUMN_ALIASES[key]), None) for key in missing}
    renames = [f"{name!r} to {key!r}" for key, name in others.items() if name]
    if renames:
        lacking = " and no column ".join(map(repr, missing))
        return f"no column {lacking} (columns: {listed}); rename {' and '.join(renames)}"
    hint = nearest(missing[0], header)
    return f"no column {missing[0]!r} (columns: {listed}){hint}; the first line must name the columns, as in path,label"


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Name → position of each column that is read. Raises: DataError."""
    where, listed = f"data {path}:1", ", ".join(header) or "none"
    if not header:
        raise DataError(
            f"{where}: the file is empty; begin it with the line path,label, and add one row for each image"
        )
    header = [name.lower() for name in header]
    missing = [key for key in REQUIRED_COLUMNS if key not in header]
    if missing:
        raise DataError(f"{where}: {_missing_columns(missing, header, listed[:200])}")
    for key in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS):
        if header.count(key) > 1:
            raise DataError(f"{where}: column {key!r} occurs {header.count(key)} times; keep one of them")
    for key in OPTIONAL_COLUMNS:
        # A group column under a name that is not read would be an invisible leak.
        similar = [name for name in header if name == f"{key}s"]
        if key not in header and similar:
            raise DataError(f"{where}: column {similar[0]!r} is not read; rename it to {key!r}, or remove it")
    return {key: header.index(key) for key in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) if key in header}
