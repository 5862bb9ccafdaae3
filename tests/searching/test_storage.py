"""The study on disk: what belongs to another search, is damaged or is locked is refused."""

from __future__ import annotations

import sqlite3

import optuna
import pytest
from searching.table_space import table_searcher
from sqlalchemy.exc import OperationalError

from lightcnn.errors import RunError, StudyError
from lightcnn.searching.trials.place import STUDY_NAME, StudyFile
from lightcnn.searching.trials.storage import storage_errors


def test_a_study_of_another_search_is_refused_with_the_difference(tmp_path):
    table_searcher(tmp_path, fingerprint={"budget": "1M", "seed": 0})
    with pytest.raises(RunError, match=r"study\.db: holds another search: its budget is '1M', not '2M'"):
        table_searcher(tmp_path, fingerprint={"budget": "2M", "seed": 0})


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_study_of_another_program_is_refused_as_it_was(tmp_path, direction):
    study = optuna.create_study(
        storage=StudyFile(tmp_path / "study.db").open(), study_name=STUDY_NAME, direction=direction
    )
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    before = study.get_trials()
    with pytest.raises(RunError, match=r"study\.db: not a study of lightcnn \(.*\); choose a new --out"):
        table_searcher(tmp_path)
    assert (study.get_trials(), study.user_attrs) == (before, {})
    study._storage.remove_session()


def test_a_damaged_study_is_refused(tmp_path):
    (tmp_path / "study.db").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(RunError, match=r"study\.db: not a study of lightcnn"):
        table_searcher(tmp_path)


def test_a_locked_study_is_refused(tmp_path):
    table_searcher(tmp_path)
    holder = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RunError, match=r"study\.db: the study cannot be read or written \(database is locked\)"):
            table_searcher(tmp_path)
    finally:
        holder.close()


@pytest.mark.parametrize("message", ["database or disk is full", "disk I/O error"])
def test_a_study_that_cannot_be_opened_since_the_disk_is_full_can_be_resumed(tmp_path, message):
    with (
        pytest.raises(StudyError, match=rf"\({message}\); check the free disk space.*, then use --resume"),
        storage_errors(StudyFile(tmp_path / "study.db")),
    ):
        raise OperationalError("", None, sqlite3.OperationalError(message))
