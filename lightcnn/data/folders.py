"""A folder of class folders, with or without train, val and test above them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightcnn.data.dataset import MOST_CLASSES, SPLITS, Dataset, assemble
from lightcnn.data.decode import SUFFIXES
from lightcnn.data.read import Progress, read, silent
from lightcnn.document import nearest
from lightcnn.errors import DataError

SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""What people also call the splits: recognised, and refused with the name that is read."""


def read_folder(path: Path, *, skip_corrupt: bool = False, progress: Progress = silent) -> Dataset:
    """Every image of every class folder. Raises: DataError."""
    roots = _roots(path)
    classes = tuple(folder.name for folder in _class_folders(roots[0][1]))
    if not classes:
        raise DataError(
            f"data {roots[0][1]}: no class folders in it; put the images of each class into a folder of its name"
        )
    files: list[tuple[Path, int, str]] = []
    for split, root in roots:
        for folder in _class_folders(root):
            if folder.name not in classes:
                raise DataError(
                    f"data {folder}: a class that train does not have{nearest(folder.name, classes)}; "
                    "add it there or rename it"
                )
            files += [(file, classes.index(folder.name), split) for file in _image_files(folder)]
    reading = read(str(path), path, [file for file, _, _ in files], skip_corrupt=skip_corrupt, progress=progress)
    whole = [files[place] for place in reading.places]
    return assemble(
        str(path),
        reading.images,
        np.array([label for _, label, _ in whole], dtype=np.int64),
        classes,
        paths=tuple(str(file.relative_to(path)) for file, _, _ in whole),
        split=np.array([split for _, _, split in whole], dtype="<U5"),
        skipped=reading.skipped,
    )


def _roots(path: Path) -> list[tuple[str, Path]]:
    """The folders that hold class folders, with the split each stands for; ('', path) where no split is given."""
    folders = {folder.name.lower(): folder for folder in _subfolders(path)}
    given = [(name, folders[name]) for name in SPLITS if name in folders]
    meant = {alias: name for alias, name in SPLIT_ALIASES.items() if alias in folders}
    if not given and not {"train", "test"} <= set(meant.values()):
        return [("", path)]
    for name, folder in folders.items():
        if name not in SPLITS:
            advice = f"rename it to {meant[name]}" if name in meant else "move it away"
            raise DataError(f"data {folder}: stands beside split folders and is none of {', '.join(SPLITS)}; {advice}")
    if "train" not in folders:
        raise DataError(f"data {path}: has {', '.join(name for name, _ in given)} but no train folder; add it")
    for _, folder in given:
        if not _subfolders(folder):
            raise DataError(
                f"data {folder}: no class folders in it; fill it, or remove it to have that side cut from train"
            )
    return given


def _class_folders(root: Path) -> list[Path]:
    """The class folders of one side, each with images directly in it. Raises: DataError for any that has none."""
    folders = _subfolders(root)
    if len(folders) > MOST_CLASSES:
        raise DataError(
            f"data {root}: {len(folders):,} folders, each of which would be a class, more than {MOST_CLASSES:,}; give "
            "a folder with one folder a class"
        )
    for folder in folders:
        if _image_files(folder):
            continue
        nested = any(_image_files(inner) for inner in _subfolders(folder))
        remedy = (
            f"its images lie in folders below; move them up, or give {folder}" if nested else "fill it or remove it"
        )
        raise DataError(
            f"data {folder}: no image directly in this class folder ({', '.join(sorted(SUFFIXES))}); {remedy}"
        )
    return folders


def _subfolders(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
