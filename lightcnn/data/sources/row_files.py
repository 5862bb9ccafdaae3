"""The file of each row of a manifest: it exists, is below the manifest's folder, and is named once."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePath, PureWindowsPath

from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.image_files import FolderFiles
from lightcnn.data.sources.read_files import MAX_LISTED
from lightcnn.data.sources.table import ManifestRow
from lightcnn.errors import DataError


def files_of(path: Path, rows: Sequence[ManifestRow]) -> tuple[FolderFiles, list[str]]:
    """The file of every row, and its name: the path as written, or relative to the manifest's folder if it is absolute.

    Raises: DataError if a file is missing, outside the manifest's folder, or named twice.
    """
    root = path.parent.resolve()
    resolved = lru_cache(maxsize=4096)(lambda folder: Path(os.path.realpath(folder)))
    files: list[str] = []
    names: list[str] = []
    missing: list[ManifestRow] = []
    repeated: list[tuple[ManifestRow, ManifestRow]] = []
    first_rows: dict[object, ManifestRow] = {}
    for row in rows:
        where = f"data {path}:{row.line}: path: {row.path!r}"
        name = _relative(path.parent, root, where, row.path)
        form = _in_its_unicode_form(path.parent, name)
        file = path.parent / form
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
        first = first_rows.setdefault(key, row)
        if first is not row:
            repeated.append((row, first))
        files.append(form)
        names.append(name)
    _require_new(path, repeated)
    _require_all(path, missing, len(rows))
    return FolderFiles(path.parent, tuple(files)), names


def _relative(folder: Path, root: Path, where: str, name: str) -> str:
    """A path relative to the manifest's folder; `root` is that folder, resolved. Raises: DataError if it is outside."""
    if "\\" in name and not PureWindowsPath(name).drive:
        raise DataError(f"{where} contains \\; write / between folders")
    if name.startswith("/"):
        real = Path(os.path.realpath(os.path.dirname(name))) / PurePath(name).name  # noqa: PTH120 - as above
        if real.is_relative_to(root):
            return str(real.relative_to(root))
    if name.startswith(("/", "~")) or PureWindowsPath(name).drive:
        raise DataError(
            f"{where} is not relative to {folder}, nor below it; move the images below it or the manifest above them, "
            "or write relative paths"
        )
    return name


def _in_its_unicode_form(folder: Path, name: str) -> str:
    """A name in the Unicode form in which the file exists."""
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD") if not name.isascii()))
    return next((form for form in forms if os.path.lexists(folder / form)), name)


def _require_new(path: Path, repeated: Sequence[tuple[ManifestRow, ManifestRow]]) -> None:
    """Raises: DataError if there are rows that name the file of an earlier row, which is given with each of them."""
    if not repeated:
        return
    row, first = next(((row, first) for row, first in repeated if first.label != row.label), repeated[0])
    where = f"data {path}:{row.line}: path: {row.path!r}"
    spelling = "" if first.path == row.path else f", as {first.path!r}"
    others = [str(other.line) for other, _ in repeated if other is not row]
    lines = ", ".join(others[:MAX_LISTED]) + (
        f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
    )
    also = f"; {len(others)} other rows name a file of an earlier row too (lines {lines})" if others else ""
    if first.label != row.label:
        raise DataError(
            f"{where} has label {row.label!r} here and {first.label!r} in line {first.line}{spelling}; "
            f"one image has one label: keep the correct row{also}"
        )
    raise DataError(f"{where} is in line {first.line} already{spelling}; keep one of the rows{also}")


def _require_all(path: Path, missing: Sequence[ManifestRow], count: int) -> None:
    """Raises: DataError if files are missing."""
    if not missing:
        return
    listed = ", ".join(f"{row.path!r} (line {row.line})" for row in missing[:MAX_LISTED])
    more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
    raise DataError(
        f"data {path}: path: {len(missing)} of {count} files are missing: {listed}{more}; "
        f"paths are relative to {path.parent}{_similar_file(path.parent, missing[0].path)}"
    )


def _similar_file(folder: Path, name: str) -> str:
    """A clause on an image whose name differs only in suffix, case or folder; empty if there is none."""
    wanted = PurePath(name)
    places = [folder / wanted.parent, folder, *sorted(inner for inner in folder.iterdir() if inner.is_dir())]
    for place in places:
        if not os.path.isdir(place):  # noqa: PTH112 - pathlib raises an error for a name that is too long
            continue
        for file in sorted(place.iterdir()):
            stems = (wanted.name.lower(), wanted.stem.lower())
            if file.suffix.lower() in SUFFIXES and file.stem.lower() in stems:
                return f"; did you mean {str(file.relative_to(folder))!r}? Write paths with folder and suffix"
    return ""
