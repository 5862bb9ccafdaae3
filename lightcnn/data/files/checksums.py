"""Checksums of downloads whose publisher states none: recorded at the first download, required at every later one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lightcnn.errors import DataChanged, DataError
from lightcnn.run_files import replace_file


def require_same_download(home: Path, files: Sequence[Path]) -> None:
    """Records the SHA-256 of the downloaded `files` in `HOME.sha256`, next to the folder that they are installed in.

    Raises: DataChanged if an earlier download had another one.
    """
    digest, record = _digest(files), _record(home)
    earlier = _recorded(home)
    if earlier is None:
        replace_file(record, f"{digest}\n".encode())
    elif earlier != digest:
        raise DataChanged(
            f"data {home.name}: the download has the SHA-256 {digest}, an earlier one had {earlier}, so the publisher "
            f"changed the data, or someone else did; to accept the new data, remove {record}"
        )


def checksum_note(folder: Path, source: str) -> str:
    """A clause with the recorded SHA-256; empty if the data were not downloaded by lightcnn."""
    digest = _recorded(folder / source)
    return "" if digest is None else f"the publisher states no checksum; the download had the SHA-256 {digest}"


def _recorded(home: Path) -> str | None:
    """The recorded SHA-256. Raises: DataError if the file is damaged."""
    record = _record(home)
    if not record.is_file():
        return None
    with open(record, encoding="ascii", errors="replace") as file:
        digest = file.read(65).strip()
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise DataError(f"data {home}: {record} is not a SHA-256 in hexadecimal; remove it")
    return digest


def _record(home: Path) -> Path:
    return home.with_name(f"{home.name}.sha256")


def _digest(files: Sequence[Path]) -> str:
    """The SHA-256 of one file; of several, that of the lines `SHA-256  NAME`."""
    digests = []
    for path in files:
        if path.is_file():
            with open(path, "rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    lines = [f"{digest}  {path.name}\n" for digest, path in zip(digests, filter(Path.is_file, files), strict=True)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
