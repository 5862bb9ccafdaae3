"""The two public data sets of photographs that MicroMPoxNet's paper used, found in the data folder or downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.archives import extract_images
from lightcnn.data.files.checksums import checksum_note, require_same_download
from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.download import data_folder, fetch, install
from lightcnn.data.sources.folder import image_files, read_folder, subfolders
from lightcnn.errors import DataError
from lightcnn.progress import Progress
from lightcnn.recipe import Reading

PIP = "pip install 'lightcnn[mpox]' to download it"
DRIVE_ID = "1P3ZZ01TSJS4v9uhBy0USzfbMXWbO8QIh"
KAGGLE = "maxmelichov/monkeypox-2022-remastered"
MAX_DEPTH = 6
"""Most folders around the class folders of an archive."""


@dataclass(frozen=True)
class _Published:
    """A data set as the paper describes it, and where to get it."""

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
        by_hand = f"{PIP}, or download the archive by hand from {published.page} and save it as {archive}"
        fetch(source, folder, published.origin, by_hand, lambda staged: published.get(staged, home))
    dataset = read_folder(class_root(home), skip_corrupt=reading.skip_corrupt, progress=progress)
    parts = (dataset.note, _difference(dataset, published), checksum_note(folder, source))
    note = "; ".join(part for part in parts if part)
    return replace(dataset, source=source, note=note)


def _difference(dataset: Dataset, published: _Published) -> str:
    """A clause on how the data set differs from the paper's; empty if it does not."""
    notes = []
    if len(dataset.classes) != published.classes:
        notes.append(f"{len(dataset.classes)} classes, {published.classes} in the paper")
    if published.images not in (None, len(dataset)):
        notes.append(f"{len(dataset):,} images, {published.images:,} in the paper")
    return "; ".join(notes)


def class_root(home: Path) -> Path:
    """The folder in `home` that contains the class folders, or the split folders: archives wrap them in others.

    Raises: DataError if images are at several depths, so that it is not clear which folders are classes.
    """
    root = home
    for _ in range(MAX_DEPTH):
        children = subfolders(root)
        if len(children) != 1 or image_files(root) or not subfolders(children[0]):
            break
        root = children[0]
    parents = sorted(
        {file.parent for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and "__MACOSX" not in file.parts}
    )
    depths = {len(parent.relative_to(root).parts): parent for parent in reversed(parents)}
    if len(depths) > 1:
        folders = " and ".join(str(depths[depth].relative_to(home)) for depth in sorted(depths))
        raise DataError(
            f"data {home}: images are at several depths ({folders}), so it is not clear which folders are classes; "
            f"leave only the class folders in {home}"
        )
    return root


def _from_drive(staged: Path, home: Path) -> None:
    import gdown

    archive = staged / "archive.zip"
    if gdown.download(id=DRIVE_ID, output=str(archive), quiet=True) is None or not archive.is_file():
        raise DataError("it returned no file")
    require_same_download(home, [archive])
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
        raise DataError("it returned no image")
    require_same_download(home, sorted((staged / "images").rglob("*.*")))
    install(staged / "images", home)
