"""The two public sets of photographs that MicroMPoxNet's paper used, found by hand or downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.archives import extract_images
from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.download import data_folder, fetch, install
from lightcnn.data.sources.folder import image_files, read_folder, subfolders
from lightcnn.errors import DataError
from lightcnn.progress import Progress
from lightcnn.recipe import Reading

PIP = "pip install 'lightcnn[mpox]' to have it downloaded"
DRIVE_ID = "1P3ZZ01TSJS4v9uhBy0USzfbMXWbO8QIh"
KAGGLE = "maxmelichov/monkeypox-2022-remastered"
DEEPEST = 6
"""Folders around the class folders of an archive, at most."""


@dataclass(frozen=True)
class _Published:
    """What the paper says of a set, and where it comes from."""

    classes: int
    images: int | None
    origin: str
    page: str
    get: Callable[[Path, Path], None]


def mpox2025(source: str, reading: Reading, progress: Progress) -> Dataset:
    """Mpox2025: 337 photographs of mpox and 359 of normal skin. Raises: DataError, DataMissing."""
    page = f"https://drive.google.com/file/d/{DRIVE_ID}"
    return _load(source, reading, progress, _Published(2, 696, "gdown", page, _from_drive))


def mpox2022(source: str, reading: Reading, progress: Progress) -> Dataset:
    """Monkeypox 2022 remastered, in the paper's six classes. Raises: DataError, DataMissing."""
    page = f"https://www.kaggle.com/datasets/{KAGGLE}"
    return _load(source, reading, progress, _Published(6, None, "kagglehub", page, _from_kaggle))


def _load(source: str, reading: Reading, progress: Progress, published: _Published) -> Dataset:
    folder = data_folder(reading)
    home, archive = folder / source, folder / f"{source}.zip"
    if not home.is_dir() and archive.is_file():
        extract_images(archive, home)
    if not home.is_dir():
        progress(f"downloading {source}", 0, 1)
        by_hand = f"{PIP}, or get the archive by hand from {published.page} and put it into {folder} as {archive.name}"
        fetch(source, folder, published.origin, by_hand, lambda staged: published.get(staged, home))
    dataset = read_folder(class_root(home), skip_corrupt=reading.skip_corrupt, progress=progress)
    note = "; ".join(part for part in (dataset.note, _difference(dataset, published)) if part)
    return replace(dataset, source=source, note=note)


def _difference(dataset: Dataset, published: _Published) -> str:
    """Where the set is not the paper's, in words."""
    notes = []
    if len(dataset.classes) != published.classes:
        notes.append(f"{len(dataset.classes)} classes, {published.classes} in the paper")
    if published.images not in (None, len(dataset)):
        notes.append(f"{len(dataset):,} images, {published.images:,} in the paper")
    return "; ".join(notes)


def class_root(home: Path) -> Path:
    """The folder in `home` that holds the class folders, or the split folders: archives wrap them.

    Raises: DataError where images lie at several depths, so that it is not clear which folders are classes.
    """
    root = home
    for _ in range(DEEPEST):
        inner = subfolders(root)
        if len(inner) != 1 or image_files(root) or not subfolders(inner[0]):
            break
        root = inner[0]
    holders = sorted(
        {file.parent for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and "__MACOSX" not in file.parts}
    )
    depths = {len(holder.relative_to(root).parts): holder for holder in reversed(holders)}
    if len(depths) > 1:
        shown = " and ".join(str(depths[depth].relative_to(home)) for depth in sorted(depths))
        raise DataError(
            f"data {home}: images at several depths ({shown}), so which folders are classes is not clear; "
            f"leave the class folders only in {home}"
        )
    return root


def _from_drive(staged: Path, home: Path) -> None:
    import gdown

    archive = staged / "archive.zip"
    if gdown.download(id=DRIVE_ID, output=str(archive), quiet=True) is None or not archive.is_file():
        raise DataError("it gave no file")
    extract_images(archive, home)


def _from_kaggle(staged: Path, home: Path) -> None:
    import kagglehub

    unpacked = Path(kagglehub.dataset_download(KAGGLE))
    for file in sorted(unpacked.rglob("*")):
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.is_symlink():
            copy = staged / "images" / file.relative_to(unpacked)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    if not (staged / "images").is_dir():
        raise DataError("it gave no image")
    install(staged / "images", home)
