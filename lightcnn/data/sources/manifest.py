"""A .csv with a line an image: its path, its label and, if known, its group and its split."""

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

from lightcnn.data.dataset import SPLITS, Dataset, assemble
from lightcnn.data.files.spelling import SPLIT_ALIASES, composed, require_one_spelling
from lightcnn.data.sources.read_files import SHOWN, read
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress
from lightcnn.text import nearest

NEEDED, OPTIONAL = ("path", "label"), ("group", "split")
MAX_BYTES = 200_000_000
LONGEST = 1_000
"""Characters of a value that is read."""
MISSING = frozenset({"", "nan", "NaN", "NAN", "None", "null", "NULL", "N/A", "n/a", "NA", "<NA>", "#N/A"})
"""How spreadsheets and data frames write that there is no value. `none` and `na` in small letters are names."""


@dataclass(frozen=True)
class _Row:
    """What one line says; `line` counts from 1, as editors do."""

    line: int
    path: str
    label: str
    group: str
    split: str


def read_manifest(path: Path, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> Dataset:
    """Every image that a manifest names, with its paths relative to the manifest's folder. Raises: DataError."""
    rows = _rows(path)
    labels = [row.label for row in rows]
    require_one_spelling(f"data {path}: label", dict.fromkeys(labels))
    classes = tuple(sorted(set(labels), key=_order(labels)))
    split_given = _require_splits(path, rows, classes)
    groups_given = _all_or_none(path, rows, "group", "images of one patient or photograph share a value")
    files = _files(path, rows)
    reading = read(str(path), path.parent, files, skip_corrupt=skip_corrupt, progress=progress)
    whole = [rows[place] for place in reading.places]
    number = {name: index for index, name in enumerate(classes)}
    known = {"groups": np.array([row.group for row in whole]), "groups_from": "manifest"} if groups_given else {}
    return assemble(
        str(path),
        reading.images,
        np.array([number[row.label] for row in whole], dtype=np.int64),
        classes,
        paths=tuple(row.path for row in whole),
        split=np.array([row.split if split_given else "" for row in whole], dtype="<U5"),
        skipped=reading.skipped,
        note=reading.note,
        **known,
    )


def _rows(path: Path) -> list[_Row]:
    """The lines of the file that say something, each with a path and a label."""
    lines = _fields(path, _text(path))
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    place = _columns(path, header)
    rows = []
    for line, fields in lines:
        if not any(field.strip() for field in fields):
            continue  # spreadsheets leave such lines at the end
        if len(fields) != len(header):
            raise DataError(
                f"data {path}:{line}: {len(fields)} values for {len(header)} columns; quote a value that holds a comma"
            )
        values = {name: fields[index].strip() for name, index in place.items()}
        row = _Row(line, values["path"], composed(values["label"]), values.get("group", ""), values.get("split", ""))
        for key in values:
            if len(values[key]) > LONGEST:
                raise DataError(f"data {path}:{line}: {key}: {len(values[key]):,} characters; give {LONGEST:,} at most")
        for key in NEEDED:
            if getattr(row, key) in MISSING:
                raise DataError(
                    f"data {path}:{line}: {key}: {getattr(row, key)!r} is no {key}; fill it or drop the row"
                )
        rows.append(row)
    if not rows:
        raise DataError(f"data {path}: no rows below the column names; give one for each image")
    return rows


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"data {path}: no such file; check the path")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"data {path}: {size:,} bytes, over {MAX_BYTES:,}; a manifest has one short line an image")
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"data {path}: is UTF-16 text; save it as CSV in UTF-8")
    if b"\0" in content:
        raise DataError(f"data {path}: holds zero bytes, so it is no CSV; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"data {path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as CSV in UTF-8"
        ) from None


def _fields(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"data {path}:{line}: not readable as CSV ({error}); check the quotes there") from None
        if fields:
            yield line, fields


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """The place of each column that is read."""
    where, listed = f"data {path}:1", ", ".join(header) or "none"
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if not set(NEEDED) <= set(header) and any(sign in field for field in header):
            raise DataError(f"{where}: columns are separated by {name}; save it with commas")
    for key in NEEDED:
        if key not in header:
            raise DataError(
                f"{where}: no column {key!r} (there are: {listed[:200]}){nearest(key, header)}; name one so"
            )
    for key in (*NEEDED, *OPTIONAL):
        if header.count(key) > 1:
            raise DataError(f"{where}: column {key!r} stands there {header.count(key)} times; keep one")
    for key in OPTIONAL:
        # A group column under a name that is not read would be a leak that nobody sees.
        like = [name for name in header if name.lower() in (key, f"{key}s")]
        if key not in header and like:
            raise DataError(f"{where}: column {like[0]!r} is not read; name it {key!r}, or drop it if it is not meant")
    return {key: header.index(key) for key in (*NEEDED, *OPTIONAL) if key in header}


def _order(labels: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """A sort key: whole numbers by value, everything else as text."""
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels)
    return lambda label: (int(label) if numbers else 0, label)


def _all_or_none(path: Path, rows: Sequence[_Row], key: str, remedy: str) -> bool:
    """Whether a column has values. Raises: DataError where some rows have one and others have none.

    An image of unknown group could stand beside its own patient on the other side, so it is not guessed to be alone.
    """
    empty = [row for row in rows if getattr(row, key) in MISSING]
    if 0 < len(empty) < len(rows):
        raise DataError(
            f"data {path}:{empty[0].line}: {key}: empty here and in {len(empty) - 1} other rows, but not in all; "
            f"fill it ({remedy}), or leave the column out"
        )
    return not empty


def _require_splits(path: Path, rows: Sequence[_Row], classes: Sequence[str]) -> bool:
    """Whether a split is given; where it is, train must have every class."""
    if not _all_or_none(path, rows, "split", f"one of {', '.join(SPLITS)}"):
        return False
    for row in rows:
        if row.split not in SPLITS:
            alias = SPLIT_ALIASES.get(row.split.lower(), row.split.lower())
            remedy = f"; write {alias}" if alias in SPLITS else nearest(row.split, SPLITS)
            raise DataError(
                f"data {path}:{row.line}: split: {row.split!r} is none of {', '.join(SPLITS)}{remedy or '; write one'}"
            )
    trained = {row.label for row in rows if row.split == "train"}
    if not trained:
        raise DataError(f"data {path}: split: no row has train; mark the rows to train on")
    for row in rows:
        if row.label not in trained:
            raise DataError(
                f"data {path}:{row.line}: split: class {row.label!r} stands in {row.split} but not in train; add rows"
            )
    return True


def _files(path: Path, rows: Sequence[_Row]) -> list[Path]:
    """The file of every row: there, inside the manifest's folder, and named once."""
    root = path.parent.resolve()
    resolved = lru_cache(maxsize=4096)(lambda folder: Path(os.path.realpath(folder)))
    files: list[Path] = []
    missing: list[_Row] = []
    seen: dict[object, _Row] = {}
    for row in rows:
        where = f"data {path}:{row.line}: path: {row.path!r}"
        file = _spelt(path.parent, where, row.path)
        real = resolved(file.parent) / file.name
        linked = os.path.islink(real)  # noqa: PTH114 - to pathlib a name that is too long is an error
        real = Path(os.path.realpath(real)) if linked or file.name == ".." else real
        if not real.is_relative_to(root):
            raise DataError(f"{where} leads out of {path.parent}; move the image below that folder")
        try:
            found = real.stat()
        except (OSError, ValueError):
            missing.append(row)
            continue
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{where} is no file; name an image")
        # The file itself tells two spellings of one path, which differ by file system; hard links are told by path.
        key = (found.st_dev, found.st_ino) if found.st_nlink == 1 and found.st_ino else real
        _require_new(where, row, seen.setdefault(key, row))
        files.append(file)
    if missing:
        shown = ", ".join(f"{row.path!r} (line {row.line})" for row in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise DataError(
            f"data {path}: path: {len(missing)} of {len(rows)} files are not there: {shown}{more}; "
            f"paths are relative to {path.parent}"
        )
    return files


def _spelt(folder: Path, where: str, name: str) -> Path:
    """The file of a name, in the form of Unicode in which the disk has it."""
    if name.startswith(("/", "~")) or PureWindowsPath(name).drive:
        raise DataError(f"{where} is not relative to {folder}; move the images below it and write paths from there")
    if "\\" in name:
        raise DataError(f"{where} is written with \\; write / between folders")
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD") if not name.isascii()))
    return next((folder / form for form in forms if os.path.lexists(folder / form)), folder / name)


def _require_new(where: str, row: _Row, first: _Row) -> None:
    """Raises: DataError where an earlier row names the same file."""
    if first is row:
        return
    spelt = "" if first.path == row.path else f", as {first.path!r}"
    if first.label != row.label:
        raise DataError(
            f"{where} has label {row.label!r} here and {first.label!r} in line {first.line}{spelt}; "
            "one image has one label: keep the right row"
        )
    raise DataError(f"{where} stands in line {first.line} already{spelt}; keep one of the rows")
