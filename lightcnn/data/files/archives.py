"""Archives, which are hostile until read: only what is expected leaves them, under names of ours, within bounds."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath

from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.download import install, staging
from lightcnn.errors import DataError

MAX_FILES = 200_000
MAX_BYTES = 20_000_000_000
"""Images of one archive, unpacked."""


def extract_images(archive: Path, target: Path) -> None:
    """Unpacks the images of a zip into `target`, with their folders; everything else stays in it.

    Raises: DataError for what is no zip, damaged, encrypted or too large, or has names that lead out or links.
    """
    try:
        with zipfile.ZipFile(archive) as opened, staging(target.parent) as staged:
            for info, name in _images(archive, opened):
                file = staged / "images" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(info) as source, file.open("xb") as sink:
                    shutil.copyfileobj(source, sink)  # zipfile reads no more than the size that was bounded
            install(staged / "images", target)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"data {archive}: no zip archive, or a damaged one ({error}); get it again") from None
    except FileExistsError as error:
        raise DataError(f"data {archive}: two of its files want to be {error.filename}; unpack it by hand") from None
    except Exception as error:
        if isinstance(error, (DataError, OSError)):
            raise
        raise DataError(f"data {archive}: damaged ({type(error).__name__}: {error}); get it again") from None


def _images(archive: Path, opened: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The entries that are images, each with its safe name; all entries have been looked at."""
    chosen = []
    for info in opened.infolist():
        name = PurePosixPath(info.filename)
        where = f"data {archive}: {info.filename!r}"
        if name.is_absolute() or ".." in name.parts or PureWindowsPath(info.filename).drive or "\\" in info.filename:
            raise DataError(f"{where} leads out of the folder it is unpacked into; get the archive from its publisher")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{where} is a link, which images are not; get the archive from its publisher")
        if info.flag_bits & 1:
            raise DataError(f"{where} is encrypted; unpack the archive by hand")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
        if name.suffix.lower() in SUFFIXES and not hidden and not info.is_dir():
            chosen.append((info, name))
    total = sum(info.file_size for info, _ in chosen)
    if not chosen:
        raise DataError(f"data {archive}: no image in it; get the archive from its publisher")
    if len(chosen) > MAX_FILES or total > MAX_BYTES:
        raise DataError(
            f"data {archive}: {len(chosen):,} images of {total:,} bytes, over {MAX_FILES:,} or {MAX_BYTES:,}; "
            "unpack it by hand if that is right"
        )
    return chosen


def extract_named(archive: Path, md5: str, names: Collection[str], target: Path, most: int) -> None:
    """Unpacks plain files of the given names, whatever folder they are in, from a .tar.gz with the given MD5.

    No name of the archive is used as a path, so that nothing in it can lead out. Raises: DataError.
    """
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise DataError(f"data {archive}: its MD5 is {found}, not {md5}: damaged or another file; get it again")
    try:
        with tarfile.open(archive, "r:gz") as opened, staging(target.parent) as staged:
            (staged / "files").mkdir()
            for member in opened:
                name = PurePosixPath(member.name).name
                content = opened.extractfile(member) if member.isreg() and name in names else None
                if content is None:
                    continue
                if member.size > most:
                    raise DataError(f"data {archive}: {name} has {member.size:,} bytes, over {most:,}; get it again")
                with (staged / "files" / name).open("xb") as sink:
                    shutil.copyfileobj(content, sink)
            install(staged / "files", target)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"data {archive}: no tar archive, or a damaged one ({error}); get it again") from None
