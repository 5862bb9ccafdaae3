"""Unpacking of untrusted archives: only expected files are written, below one folder, and within size limits."""

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
"""Largest unpacked size of the images of one archive."""


def extract_images(archive: Path, target: Path) -> None:
    """Unpacks the images of a zip file into `target`, with their folders; all other files are ignored.

    Raises: DataError if the file is not a zip archive, is damaged, encrypted or too large, or contains links or paths
    that lead out of `target`.
    """
    try:
        with zipfile.ZipFile(archive) as opened, staging(target.parent) as staged:
            for info, name in _images(archive, opened):
                file = staged / "images" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(info) as source, file.open("xb") as sink:
                    shutil.copyfileobj(source, sink)  # zipfile reads no more than the size that was checked
            install(staged / "images", target)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"data {archive}: not a zip archive, or a damaged one ({error}); download it again") from None
    except FileExistsError as error:
        raise DataError(f"data {archive}: two of its files have the path {error.filename}; unpack it by hand") from None
    except Exception as error:
        if isinstance(error, (DataError, OSError)):
            raise
        raise DataError(f"data {archive}: damaged ({type(error).__name__}: {error}); download it again") from None


def _images(archive: Path, opened: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The entries that are images, each with its safe path. Raises: DataError if any entry is unsafe."""
    chosen = []
    for info in opened.infolist():
        name = PurePosixPath(info.filename)
        where = f"data {archive}: {info.filename!r}"
        if name.is_absolute() or ".." in name.parts or PureWindowsPath(info.filename).drive or "\\" in info.filename:
            raise DataError(f"{where} leads out of the target folder; download the archive from its publisher")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{where} is a link, not an image; download the archive from its publisher")
        if info.flag_bits & 1:
            raise DataError(f"{where} is encrypted; unpack the archive by hand")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
        if name.suffix.lower() in SUFFIXES and not hidden and not info.is_dir():
            chosen.append((info, name))
    total = sum(info.file_size for info, _ in chosen)
    if not chosen:
        raise DataError(f"data {archive}: contains no image; download the archive from its publisher")
    if len(chosen) > MAX_FILES or total > MAX_BYTES:
        raise DataError(
            f"data {archive}: {len(chosen):,} images of {total:,} bytes, above the limits of {MAX_FILES:,} and "
            f"{MAX_BYTES:,}; unpack it by hand if that is correct"
        )
    return chosen


def extract_named(archive: Path, md5: str, names: Collection[str], target: Path, max_bytes: int) -> None:
    """Unpacks regular files of the given names, in any folder of a .tar.gz with the given MD5, into `target`.

    `max_bytes` limits each file. No path of the archive is used, so that nothing can lead out. Raises: DataError.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != md5:
        raise DataError(f"data {archive}: its MD5 is {digest}, not {md5}: damaged or another file; download it again")
    try:
        with tarfile.open(archive, "r:gz") as opened, staging(target.parent) as staged:
            (staged / "files").mkdir()
            for member in opened:
                name = PurePosixPath(member.name).name
                content = opened.extractfile(member) if member.isreg() and name in names else None
                if content is None:
                    continue
                if member.size > max_bytes:
                    raise DataError(
                        f"data {archive}: {name} has {member.size:,} bytes, more than {max_bytes:,}; download it again"
                    )
                with (staged / "files" / name).open("xb") as sink:
                    shutil.copyfileobj(content, sink)
            install(staged / "files", target)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"data {archive}: not a tar archive, or a damaged one ({error}); download it again") from None
