"""Lists the members of an untrusted tar file: nothing is unpacked, and whatever is not a plain file is refused.

The contents stay where they are: an uncompressed tar file stores each member in one piece, so that its offset and its
size are enough to read it.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from lightcnn.errors import DataError
from lightcnn.text import first_line, is_utf8, visible

MAX_HEADER_BYTES = 1_000_000
"""Largest header of a member, which may contain a long name; a damaged or crafted one could fill the memory."""
BLOCK = 512
"""Bytes of a block of a tar file."""
COMPRESSIONS = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
"""The bytes with which compressed files begin."""
UNCOMPRESS = "a compressed shard can only be read from its beginning; uncompress it, as with gunzip, and give the .tar"
WRITE_AGAIN = "write the shard again"


class Member(NamedTuple):
    """A file in a tar archive: its name, and where its content is, in bytes."""

    name: str
    offset: int
    size: int


def members(shard: Path) -> Iterator[Member]:
    """The plain files of a shard in order; folders are ignored.

    Raises: DataError if it is no complete tar file, or contains links, devices, or names that lead out of a folder.
    """
    _require_tar(shard)
    with _HeaderFile(io.FileIO(shard)) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while (entry := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined] # tarfile keeps an object for each member
                    if not entry.isdir():
                        yield _checked(shard, entry)
                end = archive.offset
        except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
            raise DataError(
                f"data {shard}: not a tar file, or a damaged one ({first_line(error)}); {WRITE_AGAIN}"
            ) from None
        _require_end(shard, file, end)


class _HeaderFile(io.BufferedReader):
    """A file of which headers are read: no read is larger than a header may be."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of more than {MAX_HEADER_BYTES:,} bytes")
        return super().read(size)


def _require_tar(shard: Path) -> None:
    """Raises: DataError if the file is missing, not a file, or compressed."""
    try:
        mode = shard.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"data {shard}: no such shard; check the path") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"data {shard}: is not a file; give a .tar file")
    with open(shard, "rb") as file:
        head = file.read(8)
    for signature, name in COMPRESSIONS:
        if head.startswith(signature):
            raise DataError(f"data {shard}: is compressed ({name}); {UNCOMPRESS}")


def _checked(shard: Path, entry: tarfile.TarInfo) -> Member:
    """The member of an entry that is not a folder. Raises: DataError if it is not a plain file with a plain name."""
    where = f"data {shard}: member {visible(entry.name)!r}"
    if not entry.isreg() or entry.issparse():
        kind = "link" if entry.issym() or entry.islnk() else "sparse file" if entry.issparse() else "device"
        raise DataError(f"{where} is a {kind}; shards contain plain files only: write the file itself into the shard")
    if entry.size < 0:  # older versions of tarfile would read the same header again and again
        raise DataError(f"{where} has a size of {entry.size:,} bytes; {WRITE_AGAIN}")
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.name or PureWindowsPath(entry.name).drive:
        raise DataError(f"{where} leads out of the shard; name it by its sample, as in 000001.jpg")
    if not name.parts or not is_utf8(entry.name) or not entry.name.isprintable():
        raise DataError(f"{where} is not a name of printable text in UTF-8; rename it")
    return Member(str(name), entry.offset_data, entry.size)


def _require_end(shard: Path, file: IO[bytes], end: int) -> None:
    """Raises: DataError unless an empty block follows the last member, and nothing but zeros follows that.

    tarfile ends silently at a damaged header, at the end of a file that was cut off, and at the first of several
    concatenated archives, so that samples would be lost.
    """
    file.seek(end)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise DataError(f"data {shard}: ends without the empty block of a complete tar file; {WRITE_AGAIN}")
    if any(block):
        raise DataError(f"data {shard}: damaged header at byte {end:,}; {WRITE_AGAIN}")
    while rest := file.read(MAX_HEADER_BYTES):
        if any(rest):
            raise DataError(
                f"data {shard}: contains data behind its end, which are not read; if archives were concatenated, give "
                "them one by one"
            )
