"""Downloads of data sets: installed completely or not at all, with failures reported in one line."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from lightcnn.data.files.cache import cache_folder
from lightcnn.errors import DataChanged, DataMissing
from lightcnn.recipe import Reading
from lightcnn.run_files import temporary_name, tidy_abandoned

TIMEOUT_SECONDS = 15.0
"""The longest time to wait for a response of a server."""


def data_folder(reading: Reading) -> Path:
    """The folder of published data sets: `data_dir`, else `data` in the cache. It is not created."""
    return Path(reading.data_dir).expanduser() if reading.data_dir else cache_folder("data")


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new temporary folder in `folder`, hence on the same disk; it is always removed at the end."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    tidy_abandoned(folder)
    staged = temporary_name(folder / "download")
    staged.mkdir()
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # fails unless empty: no trace is left of a failed download


def install(staged: Path, target: Path) -> None:
    """Moves a complete folder to `target`; if another process has installed it in the meantime, that one is kept."""
    try:
        staged.replace(target)
    except OSError:
        if not target.is_dir():
            raise


def fetch(name: str, folder: Path, origin: str, by_hand: str, get: Callable[[Path], None]) -> None:
    """Calls `get` with a staging folder in `folder`, from which `get` moves what is complete.

    `origin` is where the data come from, `by_hand` how to get them manually. Raises: DataMissing, with both and the
    reason of the failure; DataChanged.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)  # the data sets' download libraries have no timeout option
    try:
        with staging(folder) as staged:
            get(staged)
    except DataChanged:
        raise  # synthetic images must not replace it
    except ImportError as error:
        reason = f"{error.name or error} is not installed"
    except Exception as error:  # each library raises errors of its own
        reason = " ".join(str(getattr(error, "reason", None) or error).split())[:300] or type(error).__name__
    else:
        return
    finally:
        socket.setdefaulttimeout(timeout)
    raise DataMissing(f"data {name}: not in {folder}, and the download from {origin} failed ({reason}); {by_hand}")
