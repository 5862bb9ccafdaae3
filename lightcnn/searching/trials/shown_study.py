"""Studies as optuna-dashboard shows them: nothing is written, trials have ended, and constraints have names."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Container
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from lightcnn.errors import RunError
from lightcnn.searching.trials.clock import Past
from lightcnn.searching.trials.place import CONNECT_SECONDS, JOBS, MEMBERS, StudyFile
from lightcnn.searching.trials.storage import opening_errors, outcome_of, past_of

MAX_COPIES = 20
"""Attempts to copy a file that is written to meanwhile."""
LIMITED_DRIVERS = ("psycopg", "psycopg2", "pymysql", "mysqldb")
"""Drivers with an option `connect_timeout`; others wait for a host as long as the system does."""


class StudyCopy:
    """A copy of an SQLite file in a temporary folder, made again whenever the file has changed.

    SQLite would write beside the file even to read it, and `lightcnn search` writes to it while it runs.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        self._file, self._log = file, file.with_name(f"{file.name}-wal")
        self.path = folder / "study.db"
        self._state: Any = None
        self._lock = threading.Lock()

    def connect(self) -> sqlite3.Connection:
        """A connection to the copy. Raises: RunError if the file cannot be read."""
        with self._lock:
            try:
                self._refresh()
            except OSError as error:
                raise RunError(f"{self._file}: cannot be read ({error.strerror})") from None
            return sqlite3.connect(self.path, check_same_thread=False)

    def _refresh(self) -> None:
        """Copies the file with its write-ahead log, which is merged into the copy."""
        for _ in range(MAX_COPIES):
            before = self._read_state()
            if before == self._state:
                return
            copy = self.path.with_name("copy.db")
            copied_log = copy.with_name(f"{copy.name}-wal")
            copied_log.unlink(missing_ok=True)
            shutil.copyfile(self._file, copy)
            if self._log.exists():
                shutil.copyfile(self._log, copied_log)
            if self._read_state() == before:  # else it was written to while it was copied
                with closing(sqlite3.connect(copy)) as connection:
                    connection.execute("PRAGMA journal_mode=DELETE")
                copy.replace(self.path)
                self._state = before
                return

    def _read_state(self) -> list[tuple[int, int]]:
        """Times of change and sizes of the file and its log."""
        status = [self._file.stat(), *(path.stat() for path in [self._log] if path.exists())]
        return [(each.st_mtime_ns, each.st_size) for each in status]


def connect_options(url: str) -> dict[str, int]:
    """The options of the driver by which a server that does not answer is given up after `CONNECT_SECONDS`."""
    try:
        driver = make_url(url).get_driver_name()
    except ArgumentError:  # reported where it is connected to
        return {}
    return {"connect_timeout": CONNECT_SECONDS} if driver in LIMITED_DRIVERS else {}


class ShownStudies(RDBStorage):
    """Optuna's storage, whose trials are changed for the dashboard; nothing of that is stored.

    In the study of a search, trials stay open for a search that is resumed. Here they have the state that trials.csv
    gives them, and their last validation accuracy as value. optuna-dashboard reads constraints as a list without names,
    so each is also an attribute.
    """

    def __init__(self, url: str, copy: StudyCopy | None = None) -> None:
        options: dict[str, Any] = {"connect_args": connect_options(url)}
        if copy is not None:
            options = {"creator": copy.connect, "poolclass": NullPool}
        super().__init__(url, engine_kwargs=options, skip_compatibility_check=True, skip_table_creation=True)

    def get_all_studies(self) -> list[FrozenStudy]:
        """The studies, without those in which a shared search keeps its trainings and its machines."""
        studies = super().get_all_studies()
        names = {study.study_name for study in studies}
        inner = {name for name in names for end in (JOBS, MEMBERS) if name.removesuffix(end) in names - {name}}
        return [study for study in studies if study.study_name not in inner]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials of a study as they are shown."""
        fingerprint = self.get_study_user_attrs(study_id).get("fingerprint")
        rungs = fingerprint.get("rungs") if isinstance(fingerprint, dict) else None
        trials = super().get_all_trials(study_id)
        for trial in trials:
            _show_constraints(trial)
            if rungs:
                _settle(trial, max(rungs))
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best of the trials that are shown as complete."""
        return BaseStorage.get_best_trial(self, study_id)


def read_past(place: StudyFile, limit: float | None) -> Past:
    """What a search has done so far, for a session with this time `limit`; its study is not written to.

    Raises: RunError if it cannot be read or is not one of lightcnn.
    """
    if not place.path.is_file():
        return Past()
    with tempfile.TemporaryDirectory(prefix="lightcnn-") as folder, opening_errors(place):
        copy = StudyCopy(place.path, Path(folder))
        studies = ShownStudies(f"sqlite:///{copy.path}", copy)
        number = studies.get_study_id_from_name(place.study)
        outcomes = [outcome_of(trial) for trial in studies.get_all_trials(number)]
        return past_of(studies.get_study_user_attrs(number), outcomes, limit)


def _show_constraints(trial: FrozenTrial) -> None:
    """Adds the constraints of a trial in the form that optuna-dashboard reads."""
    constraints = trial.constraints
    if constraints:
        trial._system_attrs["constraints"] = list(constraints.values())
    for name, value in constraints.items():
        trial.set_user_attr(f"constraint {name} (at most 0)", value)


def _settle(trial: FrozenTrial, longest: int) -> None:
    """Ends a trial that has a score and is not being trained."""
    outcome = outcome_of(trial)
    if trial.state == TrialState.RUNNING and outcome.score is not None and not outcome.is_training:
        is_complete = outcome.settled(longest).state == "complete"
        trial.state = TrialState.COMPLETE if is_complete else TrialState.PRUNED
        trial.value = outcome.score
        if trial.datetime_start is not None:
            trial.datetime_complete = trial.datetime_start + timedelta(seconds=outcome.seconds)
