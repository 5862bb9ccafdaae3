"""The images below files and folders that somebody names, met one by one, however many there are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.spelling import leads_out
from lightcnn.errors import DataError


@dataclass(frozen=True)
class Skipped:
    """An image that is not read, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class ImageCount:
    """What a walk would meet: images, skipped ones among them, and files that are no images by name."""

    images: int
    ignored: int


def count_images(inputs: Sequence[Path], command: str = "predict") -> ImageCount:
    """Counts what `walk` will meet. Raises: DataError for what is not there, and for a folder without images.

    `command` is who asks, as errors say.
    """
    images = ignored = 0
    for path in inputs:
        before = images
        try:
            for found in _below(path) if _is_folder(path, command) else [path]:
                images += found is not None
                ignored += found is None
        except OSError as error:
            raise DataError(f"{command} {path}: cannot be read ({error.strerror})") from None
        if images == before:
            raise DataError(f"{command} {path}: no images in this folder ({', '.join(sorted(SUFFIXES))})")
    return ImageCount(images, ignored)


def walk(inputs: Sequence[Path]) -> Iterator[Path | Skipped]:
    """Files as they are given; of folders every file named as an image, in the order of names, subfolders included.

    Hidden files are passed over. Links to folders are not followed, and those to files only inside the folder.
    """
    for path in inputs:
        if path.is_dir():
            yield from (found for found in _below(path) if found is not None)
        else:
            yield path


def _is_folder(path: Path, command: str) -> bool:
    """Raises: DataError where `path` is neither a folder nor a file, OSError where that cannot be known."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        linked = "is a link to a file that is not there" if path.is_symlink() else "no such file or folder"
        raise DataError(f"{command} {path}: {linked}") from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise DataError(f"{command} {path}: neither a file nor a folder; give image files, or folders of them")
    return stat.S_ISDIR(mode)


def _below(folder: Path) -> Iterator[Path | Skipped | None]:
    """Images and faults below a folder; None for every file that is no image by name."""
    root = folder.resolve()
    open_folders = [(folder, _names(folder))]  # no recursion: folders may be nested more deeply than Python's stack
    while open_folders:
        inside, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
            continue
        path = inside / name
        try:
            if path.is_dir() and not path.is_symlink():
                open_folders.append((path, _names(path)))
            else:
                yield from _file(path, root)
        except OSError as error:
            yield Skipped(str(path), f"cannot be read ({error.strerror})")


def _names(folder: Path) -> Iterator[str]:
    """What people see in a folder, in order. Raises: OSError."""
    with os.scandir(folder) as entries:
        return iter(sorted(entry.name for entry in entries if not hidden(Path(entry.name))))


def _file(path: Path, root: Path) -> Iterator[Path | Skipped | None]:
    """A file, or a link. A link to a folder below the root leads to what is met anyway."""
    linked = path.is_symlink()
    named = path.suffix.lower() in SUFFIXES
    if linked and path.exists() and leads_out(path, root):
        if named or path.is_dir():
            yield Skipped(str(path), "is a link that leads out of the folder")
    elif path.is_file() or (linked and not path.exists()):
        yield path if named else None


def hidden(path: Path) -> bool:
    """What systems leave in folders and people do not see: names with a dot, macOS's and Windows' own files."""
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db", "desktop.ini")
