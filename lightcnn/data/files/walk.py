"""The images among the files and folders that a user names, listed one by one, however many there are."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.spelling import leads_out
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning

SYSTEM_NAMES = frozenset((
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found",
    "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "__pycache__",
))  # fmt: skip
"""Files and folders that macOS, Windows, Linux, Synology and QNAP make, in lower case: thumbnails and deleted files."""


@dataclass(frozen=True)
class Skipped:
    """An image that is skipped, and the reason."""

    image: str
    reason: str


class IgnoredEntry(Enum):
    """What a walk does not yield."""

    OTHER_FILE = "file without an image suffix"
    RUN_FOLDER = "run folder"


@dataclass(frozen=True)
class ImageCount:
    """How many images a walk yields, including skipped ones, and how many files and run folders it ignores."""

    images: int
    ignored: int
    run_folders: int = 0


def count_images(inputs: Sequence[Path], command: str = "predict") -> ImageCount:
    """Counts what `walk` will yield. Raises: DataError if a path is missing, or a folder contains no images.

    `command` is the command whose name begins the error messages.
    """
    images, ignored = 0, Counter[IgnoredEntry]()
    for path in inputs:
        before = images
        try:
            for entry in _below(path) if _is_folder(path, command) else [path]:
                if isinstance(entry, IgnoredEntry):
                    ignored[entry] += 1
                else:
                    images += 1
        except OSError as error:
            raise DataError(f"{command} {path}: cannot be read ({error.strerror})") from None
        if images == before:
            raise DataError(f"{command} {path}: no images in this folder (suffixes: {', '.join(sorted(SUFFIXES))})")
    return ImageCount(images, ignored[IgnoredEntry.OTHER_FILE], ignored[IgnoredEntry.RUN_FOLDER])


def walk(inputs: Sequence[Path]) -> Iterator[Path | Skipped]:
    """Yields the given files, and from folders and their subfolders every file with an image suffix, ordered by name.

    Hidden files and run folders of lightcnn are ignored. Links to folders are not followed; links to files only within
    the folder.
    """
    for path in inputs:
        if path.is_dir():
            yield from (entry for entry in _below(path) if not isinstance(entry, IgnoredEntry))
        else:
            yield path


def _is_folder(path: Path, command: str) -> bool:
    """Raises: DataError if `path` is neither a folder nor a file; OSError if that cannot be determined."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        reason = "is a link to a missing file" if path.is_symlink() else "no such file or folder"
        raise DataError(f"{command} {path}: {reason}") from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise DataError(f"{command} {path}: neither a file nor a folder; give image files, or folders with images")
    return stat.S_ISDIR(mode)


def _below(folder: Path) -> Iterator[Path | Skipped | IgnoredEntry]:
    """Images, skipped images, and what is ignored below a folder."""
    root = folder.resolve()
    open_folders = [(folder, _names(folder))]  # no recursion: folders may be nested deeper than Python's stack
    while open_folders:
        parent, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
            continue
        path = parent / name
        try:
            if path.is_dir() and not path.is_symlink() and is_run_folder(path):
                yield IgnoredEntry.RUN_FOLDER
            elif path.is_dir() and not path.is_symlink():
                open_folders.append((path, _names(path)))
            else:
                yield from _file(path, root)
        except OSError as error:
            yield Skipped(str(path), f"cannot be read ({error.strerror})")


def _names(folder: Path) -> Iterator[str]:
    """The names in a folder that are not hidden, in order. Raises: OSError."""
    with os.scandir(folder) as entries:
        return iter(sorted(entry.name for entry in entries if not hidden(Path(entry.name))))


def _file(path: Path, root: Path) -> Iterator[Path | Skipped | IgnoredEntry]:
    """The entry for a file or a link. A link to a folder below the root is ignored: that folder is walked anyway."""
    linked = path.is_symlink()
    has_image_suffix = path.suffix.lower() in SUFFIXES
    if linked and path.exists() and leads_out(path, root):
        if has_image_suffix or path.is_dir():
            yield Skipped(str(path), "is a link that leads out of the folder")
    elif path.is_file() or (linked and not path.exists()):
        yield path if has_image_suffix else IgnoredEntry.OTHER_FILE


def hidden(path: Path) -> bool:
    """Whether a file or folder is hidden (its name starts with a dot), or was made by a system or a storage device."""
    return path.name.startswith(".") or path.name.casefold() in SYSTEM_NAMES


def run_folder_warnings(folders: Sequence[str] | int) -> tuple[ReportWarning, ...]:
    """A warning about ignored run folders, by their names or their number; none if there are none."""
    count = folders if isinstance(folders, int) else len(folders)
    if not count:
        return ()
    names = "" if isinstance(folders, int) else f" ({', '.join(folders[:3])}{', ...' if count > 3 else ''})"
    message = f"folders with runs of lightcnn were not read: {count}{names}; move them away from the images"
    return (ReportWarning("run_folders_ignored", message, count),)


def is_run_folder(folder: Path) -> bool:
    """Whether lightcnn wrote a folder: its environment.json begins with the version of lightcnn."""
    path = folder / "environment.json"
    try:
        if not path.is_file():  # reading a pipe would never end
            return False
        with open(path, "rb") as file:
            return b'"lightcnn"' in file.read(64)
    except OSError:
        return False


def holds_runs_only(folder: Path) -> bool:
    """Whether a folder is a run folder, or contains run folders but no others and no images, as runs/ does."""
    if is_run_folder(folder):
        return True
    entries = [entry for entry in folder.iterdir() if not hidden(entry)]
    folders = [entry for entry in entries if entry.is_dir()]
    has_images = any(entry.suffix.lower() in SUFFIXES for entry in entries)
    return bool(folders) and not has_images and all(map(is_run_folder, folders))
