"""Where the study of a search is: in a file of its run folder, or in a database that several machines share."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import optuna
from optuna.storages import BaseStorage
from sqlalchemy.exc import OperationalError

CONNECT_SECONDS = 10
"""Time in which a server must answer."""
JOBS, MEMBERS = "/jobs", "/members"
"""What a shared search adds to the name of its study for the studies of its trainings and of its machines."""
STUDY_NAME = "search"
"""The name of the study in a run folder."""
STORAGE_ERRORS = (OperationalError, optuna.exceptions.StorageInternalError)
"""What Optuna raises if a database cannot be read or written."""
FREE_SPACE = "check the free disk space"
CHECK_DISK = f"{FREE_SPACE} and the disk"
REMEDIES = {
    "locked": "end the process that uses it", "full": FREE_SPACE, "disk I/O": CHECK_DISK,
    "readonly": "check its permissions", "unable to open": "check its permissions",
}  # fmt: skip
"""What to do about an error of SQLite, by words of its message; a full disk may also be one of input and output."""


def close_connections(storage: BaseStorage) -> None:
    """Closes the connections of this process; SQLite then merges the log of a study's file into it.

    A later use of the storage connects again.
    """
    storage.remove_session()
    if (backend := getattr(storage, "_backend", None)) is not None:
        backend.engine.dispose()


class StudyPlace(Protocol):
    """Where a study is. Its text is its name in messages.

    If it `is_shared`, other machines may join the study. `open` connects to it and makes the tables, `check` finds
    damage that Optuna does not notice. `errors` are raised if it cannot be reached; `explain` is the reason and what to
    do about it, `other` how to choose another place, `earlier` why the study of an earlier version is refused.
    """

    @property
    def study(self) -> str: ...
    @property
    def is_shared(self) -> bool: ...
    @property
    def errors(self) -> tuple[type[Exception], ...]: ...
    @property
    def other(self) -> str: ...
    @property
    def earlier(self) -> str: ...
    def open(self) -> BaseStorage: ...
    def check(self) -> None: ...
    def explain(self, error: Exception, /) -> tuple[str, str]: ...


@dataclass(frozen=True)
class StudyFile:
    """A study in an SQLite file."""

    path: Path
    study: str = STUDY_NAME
    is_shared: bool = False
    errors: tuple[type[Exception], ...] = STORAGE_ERRORS
    other: str = "choose a new --out"
    earlier: str = "the search is of an earlier version of lightcnn; choose a new --out"

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> BaseStorage:
        """Opens the file, or makes it."""
        return optuna.storages.RDBStorage(f"sqlite:///{self.path}", engine_kwargs={"creator": self._connect})

    def check(self) -> None:
        """Raises: ValueError if values belong to trials that do not exist; new trials would take them for their own."""
        with closing(self._connect()) as connection:
            orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
        if orphan is not None:
            raise ValueError(f"table {orphan[0]} has rows of a trial that does not exist")

    def explain(self, error: Exception, /) -> tuple[str, str]:
        """The reason of SQLite, and what to do about it."""
        cause = error if isinstance(error, OperationalError) else error.__cause__
        reason = str(getattr(cause, "orig", None) or cause)
        return reason, next((remedy for word, remedy in REMEDIES.items() if word in reason), "check the file")

    def _connect(self) -> sqlite3.Connection:
        """A connection that appends to a log instead of rewriting pages: as safe if killed, and faster."""
        connection = sqlite3.connect(self.path, timeout=5, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection
