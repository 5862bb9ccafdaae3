"""The files of a run folder: every name is resolved below the folder, since the folder may come from someone else.

A run folder may hold links, special files, and files that name other files. Nothing outside it is read, written or
removed, and what is read has a limit. No torch.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from lightcnn.errors import RunError
from lightcnn.text import first_line, format_error

MAX_JSON_BYTES = 100_000_000
"""Size of the largest JSON file that is read; report.json of 100,000 explanations has about 80 MB."""
MAX_JSON_DEPTH = 50
"""Nesting depth of the deepest JSON file that is read; lightcnn writes fewer than 15 levels."""
VALUE_ERRORS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What code raises that uses values of other types or sizes than it expects."""
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.part")
"""Names of files and folders that are being written."""
ABANDONED_SECONDS = 3600
"""Time without a change after which such a file or folder belongs to a process that was killed."""


def resolve(root: Path, name: str) -> Path:
    """The path of `name` below the folder `root`, which may itself be a link; nothing needs to exist there.

    Raises: RunError if the name leads out of the folder, or if it passes through a link or a file, or is neither a
    regular file nor a folder.
    """
    relative = PurePath(name)
    if not relative.parts or relative.is_absolute() or relative.drive or ".." in relative.parts or "\0" in name:
        raise RunError(f"run {root}: the name {name!r} is not that of a file in the run folder; remove it")
    path = root
    for number, part in enumerate(relative.parts, start=1):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            break
        except OSError as error:
            raise RunError(f"run {root}: {name} cannot be read ({error.strerror})") from None
        _require_own(root, path, mode, is_last=number == len(relative.parts))
    return root / relative


def resolve_in_place(root: Path, name: str) -> Path:
    """The same for a file that is changed in place, which must have no other name (no hard link). Raises: RunError."""
    path = resolve(root, name)
    if path.is_file() and path.lstat().st_nlink > 1:
        raise RunError(f"run {root}: {name} is a hard link to another file; copy the file, then remove the link")
    return path


def temporary_name(path: Path) -> Path:
    """A new name next to `path`. It is random: processes in two containers may have the same number."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def write_file(path: Path, content: bytes) -> None:
    """Writes a new file and waits until it is on disk. Removes what was written if that fails. Raises: OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with naming(path), open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file atomically: under a temporary name, which is then renamed. Raises: OSError."""
    temporary = temporary_name(path)
    write_file(temporary, content)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names the file in errors that do not, such as those of write() and fsync(). Raises: OSError."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_remedy(error: OSError) -> str:
    """What to do if a file cannot be written; empty if that is not known."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "check the free disk space"
    return "check the permissions" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else ""


def tidy(root: Path) -> None:
    """Removes the temporary files that a killed process left in a run folder and in the folders right below it.

    Raises: RunError if there is a link or a special file, before any work is done.
    """
    for path in _entries(root):
        for entry in (path, *(_entries(path) if path.is_dir() and not path.is_symlink() else ())):
            _require_own(root, entry, entry.lstat().st_mode, is_last=True)
            if entry.is_file() and TEMPORARY.fullmatch(entry.name):
                entry.unlink(missing_ok=True)


def tidy_abandoned(folder: Path) -> None:
    """Removes temporary files and folders in `folder` in which nothing was written for an hour.

    Their process was killed, but one in another container may be at work on a recent one. Links are not followed.
    """
    for path in _entries(folder):
        if TEMPORARY.fullmatch(path.name) and not path.is_symlink():
            with contextlib.suppress(OSError):
                newest = max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
                if time.time() - newest > ABANDONED_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_json(root: Path, name: str) -> Any:
    """The content of a JSON file below the folder `root`. Raises: RunError if it is missing, damaged or too large."""
    try:
        return parse_json(read_limited(root, name, MAX_JSON_BYTES))
    except ValueError as error:
        raise RunError(
            f"run {root}: {name} is damaged ({first_line(error)}); restore the file that the run wrote"
        ) from None


@contextmanager
def earlier_values(root: Path, name: str) -> Iterator[None]:
    """Turns the errors of code that uses the values of an earlier run's file into one line. Raises: RunError."""
    try:
        yield
    except VALUE_ERRORS as error:
        raise RunError(
            f"run {root}: {name} has other values than lightcnn writes ({format_error(error)}); restore the file that "
            "the run wrote"
        ) from error


def parse_json(content: bytes) -> Any:
    """The value of a JSON text that is not nested too deeply, and of finite numbers. Raises: ValueError."""
    try:
        value = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_JSON_DEPTH} levels deep") from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return value
    raise ValueError(f"nested more than {MAX_JSON_DEPTH} levels deep")


def read_limited(root: Path, name: str, limit: int) -> bytes:
    """The bytes of a regular file below the folder `root`. Raises: RunError if it has more than `limit`, or none."""
    path = resolve(root, name)
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise RunError(f"run {root}: {name} cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise RunError(f"run {root}: {name} is larger than {limit:,} bytes, so lightcnn did not write it; remove it")
    return content


def _require_own(root: Path, path: Path, mode: int, *, is_last: bool) -> None:
    """Raises: RunError if a path with that mode is not the run's own file or folder."""
    kind = ""
    if stat.S_ISLNK(mode):
        kind = "a link; a run folder contains its own files only"
    elif not is_last and not stat.S_ISDIR(mode):
        kind = "not a folder"
    elif not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        kind = "not a regular file"
    if kind:
        raise RunError(f"run {root}: {path.relative_to(root)} is {kind}; remove it, or copy the original there")


def _entries(folder: Path) -> Iterator[Path]:
    """What is in a folder; nothing if it cannot be read."""
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _integer(text: str) -> int:
    """A whole number that has a value as a float too, as every number that lightcnn writes."""
    _finite(text)
    return int(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
