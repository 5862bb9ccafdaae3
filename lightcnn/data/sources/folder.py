"""A folder of class folders, or of `train`, `val` and `test` folders with class folders in them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lightcnn.data.dataset import MAX_CLASSES, SPLIT_NAMES, Dataset, assemble
from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.spelling import SPLIT_ALIASES, composed, leads_out, require_class_names
from lightcnn.data.files.walk import Skipped, hidden, holds_runs_only, run_folder_warnings, walk
from lightcnn.data.image_files import FolderFiles
from lightcnn.data.sources.read_files import MAX_LISTED, read
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning
from lightcnn.progress import Progress, no_progress
from lightcnn.text import nearest

RENAME = "give their names the suffix of their format, as in name.png, or convert them to PNG"
"""What to do with images that have another suffix or none."""


def read_folder(path: Path, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> Dataset:
    """Reads all images of all class folders. Raises: DataError."""
    roots = _roots(path)
    classes = tuple(composed(folder.name) for folder in _class_folders(roots[0][1]))
    if not classes:
        raise DataError(
            f"data {roots[0][1]}: contains no class folders; put the images of each class into a folder of its name"
        )
    names: list[str] = []
    labels, splits = array("q"), []
    for split, root in roots:
        for folder, label in _labelled_folders(root, classes):
            in_folder = [str((folder / name).relative_to(path)) for name in image_names(folder)]
            _require_inside(path, folder, in_folder)
            names += in_folder
            labels.extend([label] * len(in_folder))
            splits.append(np.full(len(in_folder), split, dtype="<U5"))
    reading = read(str(path), FolderFiles(path, tuple(names)), skip_corrupt=skip_corrupt, progress=progress)
    return assemble(
        str(path),
        reading.images,
        np.array(labels, dtype=np.int64)[reading.positions],
        classes,
        paths=reading.images.files.names,
        split=np.concatenate(splits)[reading.positions],
        skipped=reading.skipped,
        warnings=(
            *_run_folder_warnings(path, [root for _, root in roots]),
            *_format_classes(_named_as_splits(path)),
            *_ignored_warnings(path, [root for _, root in roots]),
        ),
    )


def _format_classes(names: list[str]) -> tuple[ReportWarning, ...]:
    """A warning about classes that have the name of a split."""
    if not names:
        return ()
    message = (
        f"{', '.join(names)}: read as {'a class' if len(names) == 1 else 'classes'}, not as a split, since all folders "
        "contain images and no folders; if it is a split, put class folders into it."
    )
    return (ReportWarning("class_named_as_split", message, len(names)),)


def _labelled_folders(root: Path, classes: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
    """The class folders of one split with their labels. Raises: DataError for a class that is not in `classes`."""
    for folder in _class_folders(root):
        name = composed(folder.name)
        if name not in classes:
            raise DataError(
                f"data {folder}: this class is not in train{nearest(name, classes)}; add it there or rename it"
            )
        yield folder, classes.index(name)


def _require_inside(path: Path, folder: Path, names: Sequence[str]) -> None:
    """Raises: DataError for the first image of a class folder that a link takes from outside of `path`."""
    root = path.resolve()
    linked = leads_out(folder, root)
    for name in names:
        file = path / name
        if linked or (file.is_symlink() and file.exists() and leads_out(file, root)):
            raise DataError(f"data {file}: a link that leads out of {path}; copy the image there, or remove the link")


def _ignored_warnings(path: Path, roots: list[Path]) -> list[ReportWarning]:
    """Warnings about images outside the class folders, and files in these that have no suffix of an image."""
    outside = [file for root in roots for file in image_files(root)]
    others = [file for root in roots for folder in subfolders(root) for file in other_files(folder)]
    return [
        ReportWarning(
            "files_ignored", f"{what} were not read: {len(files):,} ({_listed(files, path)}); {remedy}.", len(files)
        )
        for files, what, remedy in (
            (outside, "Images outside the class folders", "move each into the folder of its class"),
            (others, "Files without an image suffix", f"if they are images, {RENAME}"),
        )
        if files
    ]


def _listed(files: list[Path], path: Path) -> str:
    """The first files in order, with their paths below `path`."""
    names = ", ".join(str(file.relative_to(path)) for file in sorted(files)[:MAX_LISTED])
    return f"{names}{', ...' if len(files) > MAX_LISTED else ''}"


def _roots(path: Path) -> list[tuple[str, Path]]:
    """Each split's name and its folder of class folders; ('', path) if no split is given. Raises: DataError."""
    if _named_as_splits(path):
        return [("", path)]
    folders = {folder.name.lower(): folder for folder in subfolders(path)}
    duplicates = [folder for folder in subfolders(path) if folders[folder.name.lower()] != folder]
    if duplicates and duplicates[0].name.lower() in SPLIT_NAMES:
        name = folders[duplicates[0].name.lower()].name
        raise DataError(f"data {duplicates[0]}: is next to {name}; merge the two folders")
    given = [(name, folders[name]) for name in SPLIT_NAMES if name in folders]
    aliases = {alias: name for alias, name in SPLIT_ALIASES.items() if alias in folders}
    if not given and not {"train", "test"} <= set(aliases.values()):
        return [("", path)]
    for name, folder in folders.items():
        if name not in SPLIT_NAMES:
            remedy = f"rename it to {aliases[name]}" if name in aliases else "move it elsewhere"
            raise DataError(
                f"data {folder}: is next to split folders, but not one of {', '.join(SPLIT_NAMES)}; {remedy}"
            )
    if "train" not in folders:
        raise DataError(f"data {path}: has {', '.join(name for name, _ in given)} but no train folder; add it")
    for _, folder in given:
        if not subfolders(folder):
            raise DataError(
                f"data {folder}: contains no class folders; add them, or remove it to split that set off from train"
            )
    return given


def _named_as_splits(path: Path) -> list[str]:
    """Names of splits that are names of classes: the folder has images, no folders, and such folders beside it."""
    folders = subfolders(path)
    names = [folder.name for folder in folders if folder.name.lower() in (*SPLIT_NAMES, *SPLIT_ALIASES)]
    if not 0 < len(names) < len(folders) or any(subfolders(folder) for folder in folders):
        return []
    return names if all(image_names(folder) for folder in folders) else []


def _class_folders(root: Path) -> list[Path]:
    """The class folders of one split. Raises: DataError if one does not contain images directly."""
    folders = subfolders(root)
    if len(folders) > MAX_CLASSES:
        raise DataError(
            f"data {root}: {len(folders):,} folders, and each would be a class, more than {MAX_CLASSES:,}; give "
            "a folder with one folder per class"
        )
    require_class_names(f"data {root}", [folder.name for folder in folders])
    for folder in folders:
        nested = next((_image_of(entry).parent for entry in walk(subfolders(folder))), None)
        if image_names(folder):
            if nested:
                raise DataError(
                    f"data {nested}: a folder with images inside a class folder; move them up, or move it elsewhere"
                )
            continue
        remedy = f"its images are in folders below; move them up, or give {folder}" if nested else _remedy(folder)
        raise DataError(
            f"data {folder}: no image directly in this class folder ({', '.join(sorted(SUFFIXES))}); {remedy}"
        )
    return folders


def _image_of(entry: Path | Skipped) -> Path:
    return entry if isinstance(entry, Path) else Path(entry.image)


def _remedy(folder: Path) -> str:
    """What to do about a class folder without images."""
    others = other_files(folder)
    if not others:
        return "add images or remove it"
    files = "1 other file" if len(others) == 1 else f"{len(others):,} other files"
    return f"it has {files} ({_listed(others, folder.parent)}); if they are images, {RENAME}"


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that are neither hidden nor written by lightcnn, in order."""
    return sorted(
        inner for inner in folder.iterdir() if inner.is_dir() and not hidden(inner) and not holds_runs_only(inner)
    )


def _run_folder_warnings(path: Path, roots: list[Path]) -> tuple[ReportWarning, ...]:
    """A warning about the folders in the source that lightcnn wrote, if there are any."""
    folders = {
        inner for root in (path, *roots) for inner in root.iterdir() if inner.is_dir() and holds_runs_only(inner)
    }
    return run_folder_warnings([str(folder.relative_to(path)) for folder in sorted(folders)])


def image_files(folder: Path) -> list[Path]:
    """The files with an image suffix, in order; a broken link is one too, and will be reported as a faulty file."""
    return [folder / name for name in image_names(folder)]


def image_names(folder: Path) -> list[str]:
    """The names of `image_files`, which need less memory than paths."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_image(entry))


def _is_image(entry: os.DirEntry[str]) -> bool:
    name = Path(entry.name)
    if name.suffix.lower() not in SUFFIXES or hidden(name):
        return False
    if entry.is_symlink():
        return Path(entry.path).is_file() or not Path(entry.path).exists()
    return entry.is_file()


def other_files(folder: Path) -> list[Path]:
    """The files in a folder that have no suffix of an image, in order, without those of systems."""
    files = (file for file in folder.iterdir() if not hidden(file) and file.suffix.lower() not in SUFFIXES)
    return sorted(file for file in files if not file.is_dir())
