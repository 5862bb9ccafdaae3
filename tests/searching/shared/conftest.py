"""Storages of shared searches."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from lightcnn.searching.shared import members
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials.place import StudyFile


@pytest.fixture
def place(tmp_path: Path) -> SharedPlace:
    """A study in an SQLite file, which threads of one process can share if they take turns."""
    study = SharedPlace(SharedSettings("sqlite", "moles"))
    study.__dict__["storage"] = optuna.storages.get_storage(StudyFile(tmp_path / "shared.db").open())
    return study


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are found dead within a second."""
    monkeypatch.setattr(members, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(members, "SILENT_SECONDS", 0.8)
    monkeypatch.setattr(members, "LOOK_SECONDS", 0.1)
