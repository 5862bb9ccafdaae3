"""A folder of class folders, with or without train, val and test above them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightcnn.data.dataset import MOST_CLASSES, SPLITS, Dataset, assemble
from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.spelling import SPLIT_ALIASES, composed, leads_out, require_one_spelling
from lightcnn.data.files.walk import hidden
from lightcnn.data.sources.read_files import SHOWN, read
from lightcnn.errors import DataError
from lightcnn.progress import Progress, no_progress
from lightcnn.text import nearest


def read_folder(path: Path, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> Dataset:
    """Every image of every class folder. Raises: DataError."""
    roots = _roots(path)
    classes = tuple(composed(folder.name) for folder in _class_folders(roots[0][1]))
    if not classes:
        raise DataError(
            f"data {roots[0][1]}: no class folders in it; put the images of each class into a folder of its name"
        )
    files = [(file, label, split) for split, root in roots for file, label in _labelled(root, classes)]
    _require_inside(path, [file for file, _, _ in files])
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
        note="; ".join(note for note in (_passed_over(path, [root for _, root in roots]), reading.note) if note),
    )


def _labelled(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The images of one side with their labels. Raises: DataError for a class that is not in `classes`."""
    files: list[tuple[Path, int]] = []
    for folder in _class_folders(root):
        name = composed(folder.name)
        if name not in classes:
            raise DataError(
                f"data {folder}: a class that train does not have{nearest(name, classes)}; add it there or rename it"
            )
        files += [(file, classes.index(name)) for file in image_files(folder)]
    return files


def _require_inside(path: Path, files: list[Path]) -> None:
    """Raises: DataError for the first image that is reached by a link and lies elsewhere."""
    root = path.resolve()
    linked = {folder for folder in {file.parent for file in files} if leads_out(folder, root)}
    for file in files:
        if file.parent in linked or (file.is_symlink() and file.exists() and leads_out(file, root)):
            raise DataError(f"data {file}: a link that leads out of {path}; copy the image there, or remove the link")


def _passed_over(path: Path, roots: list[Path]) -> str:
    """What was not taken for an image of a class, in words."""
    beside = [file for root in roots for file in image_files(root)]
    other = [
        file
        for root in roots
        for folder in subfolders(root)
        for file in folder.iterdir()
        if not (hidden(file) or file.suffix.lower() in SUFFIXES or file.is_dir())
    ]
    notes = []
    for files, what in ((beside, "images beside the class folders"), (other, "files that are no images by name")):
        if files:
            shown = ", ".join(str(file.relative_to(path)) for file in sorted(files)[:SHOWN])
            notes.append(f"passed over {len(files)} {what} ({shown}{', ...' if len(files) > SHOWN else ''})")
    return "; ".join(notes)


def _roots(path: Path) -> list[tuple[str, Path]]:
    """The folders that hold class folders, with the split each stands for; ('', path) where no split is given."""
    folders = {folder.name.lower(): folder for folder in subfolders(path)}
    twice = [folder for folder in subfolders(path) if folders[folder.name.lower()] != folder]
    if twice and twice[0].name.lower() in SPLITS:
        raise DataError(f"data {twice[0]}: stands beside {folders[twice[0].name.lower()].name}; put both into one")
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
        if not subfolders(folder):
            raise DataError(
                f"data {folder}: no class folders in it; fill it, or remove it to have that side cut from train"
            )
    return given


def _class_folders(root: Path) -> list[Path]:
    """The class folders of one side, each with images directly in it. Raises: DataError for any that has none."""
    folders = subfolders(root)
    if len(folders) > MOST_CLASSES:
        raise DataError(
            f"data {root}: {len(folders):,} folders, each of which would be a class, more than {MOST_CLASSES:,}; give "
            "a folder with one folder a class"
        )
    require_one_spelling(f"data {root}", [folder.name for folder in folders])
    for folder in folders:
        nested = next((inner for inner in subfolders(folder) if image_files(inner)), None)
        if image_files(folder):
            if nested:
                raise DataError(
                    f"data {nested}: images in a folder inside a class folder; move them up, or move it away"
                )
            continue
        remedy = (
            f"its images lie in folders below; move them up, or give {folder}" if nested else "fill it or remove it"
        )
        raise DataError(
            f"data {folder}: no image directly in this class folder ({', '.join(sorted(SUFFIXES))}); {remedy}"
        )
    return folders


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that people see."""
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not hidden(inner))


def image_files(folder: Path) -> list[Path]:
    """The files named as images; a link to nothing is one too, to be reported as a faulty file."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES
        and not hidden(file)
        and (file.is_file() or (file.is_symlink() and not file.exists()))
    )
