"""Data sets from the network: whole, or not at all and in one line."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lightcnn.data.files.cache import cache_folder
from lightcnn.errors import DataMissing
from lightcnn.recipe import Reading

SECONDS = 15.0
"""How long a server may stay silent."""


def data_folder(reading: Reading) -> Path:
    """Where published data sets lie; not made yet."""
    return Path(reading.data_dir).expanduser() if reading.data_dir else cache_folder("data")


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A fresh folder in `folder`, on the same disk, which is gone at the end whatever happens."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # nothing came: what was not there is not there again


def install(staged: Path, target: Path) -> None:
    """Moves a whole folder to where it will be found; one that another process has put there meanwhile is kept."""
    try:
        staged.replace(target)
    except OSError:
        if not target.is_dir():
            raise


def fetch(name: str, folder: Path, origin: str, by_hand: str, get: Callable[[Path], None]) -> None:
    """Runs `get` on a staging folder in `folder`; `get` moves out of it what is whole.

    Raises: DataMissing, which says what was tried and how to get the data by hand.
    """
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)  # the loaders made for these data take no limit of their own
    try:
        with staging(folder) as staged:
            get(staged)
    except ImportError as error:
        reason = f"{error.name or error} is not installed"
    except Exception as error:  # each loader has errors of its own
        reason = " ".join(str(getattr(error, "reason", None) or error).split())[:300] or type(error).__name__
    else:
        return
    finally:
        socket.setdefaulttimeout(patience)
    raise DataMissing(f"data {name}: not in {folder}, and {origin} did not give it ({reason}); {by_hand}")
