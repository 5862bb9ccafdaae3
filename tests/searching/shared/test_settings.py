"""Wrong storages and names of studies are refused in one line, without the password."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightcnn.errors import InputError
from lightcnn.searching.shared import settings
from lightcnn.searching.shared.settings import shared_settings

POSTGRES = "postgresql+psycopg://anna:secret@db/optuna"


@pytest.mark.parametrize(
    ("storage", "study", "message"),
    [
        (POSTGRES, None, "--study is missing"),
        (POSTGRES, "a/b", "--study a/b: must be letters"),
        (POSTGRES, "", "--study : must be letters"),
        (
            "postgresql://anna:secret@db/optuna",
            "moles",
            r"anna:\*\*\*@db/optuna: not a storage; use postgresql\+psycopg",
        ),
        ("mysql://x", "moles", "mysql://x: not a storage"),
        ("moles.db", "moles", "not a storage"),
        ("sqlite:///moles.db", "moles", "sqlite:///moles.db: not a storage"),
        ("grpc://host", "moles", "must be grpc://HOST:PORT"),
        ("grpc://host:99999", "moles", "must be grpc://HOST:PORT"),
        ("grpc:host:13000", "moles", "must be grpc://HOST:PORT"),
    ],
)
def test_a_wrong_storage_or_study_is_one_line(storage: str, study: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        shared_settings(storage, study)
    assert "secret" not in str(error.value)


def test_options_of_a_shared_search_need_its_storage(tmp_path: Path) -> None:
    assert shared_settings(None, None) is None
    for options in ({"study": "moles"}, {"study": None, "artifacts": tmp_path}, {"study": None, "trial_timeout": 5.0}):
        with pytest.raises(InputError, match="name its database with --storage URL"):
            shared_settings(None, **options)


def test_a_missing_folder_of_artifacts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--artifacts .*no such folder"):
        shared_settings("grpc://db:13000", "moles", tmp_path / "missing")


def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package psycopg; pip install 'lightcnn\[postgres\]'"):
        shared_settings(POSTGRES, "moles")
    with pytest.raises(InputError, match="needs the package grpc"):
        shared_settings("grpc://[::1]:13000", "moles")


def test_the_storage_of_a_run_is_used_if_the_environment_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTCNN_STORAGE", raising=False)
    assert settings.storage_of(str(tmp_path)) == str(tmp_path)
    assert settings.storage_of("sqlite:///study.db") == "sqlite:///study.db"
    (tmp_path / "shared.yaml").write_bytes(settings.SharedSettings(POSTGRES, "moles").yaml())
    with pytest.raises(
        InputError,
        match=r"its study moles is in \S+anna:\*\*\*@db/optuna; give this URL with its password, or set LIGHTCNN",
    ):
        settings.storage_of(str(tmp_path))
    monkeypatch.setenv("LIGHTCNN_STORAGE", POSTGRES)
    assert settings.storage_of(str(tmp_path)) == POSTGRES


def test_the_password_is_never_shown() -> None:
    shared = settings.SharedSettings("postgresql+psycopg://anna:se:c@ret@db:5432/optuna", "moles")
    assert str(shared) == "study moles in postgresql+psycopg://anna:***@db:5432/optuna"
    assert settings.SharedSettings("grpc://[::1]:13000", "moles").grpc_address == ("::1", 13000)
