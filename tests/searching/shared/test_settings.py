"""Wrong storages and names of studies are refused in one line, without the password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lightcnn.duration import parse_duration
from lightcnn.errors import InputError
from lightcnn.run_folder import RunFolder
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
        ("grpc://anna:secret@host:13000", "moles", r"anna:\*\*\*@host:13000: must be grpc://HOST:PORT"),
        ("postgresql+psycopg://anna:secret@db:q/x", "moles", "--storage .*: the port is not a number"),
        ("postgresql+psycopg://anna:pass@secret@db/x", "moles", "more than one @; .* as %40"),
    ],
)
def test_a_wrong_storage_or_study_is_one_line(storage: str, study: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        shared_settings(storage, study)
    assert "secret" not in str(error.value)


def test_a_wrong_database_of_the_proxy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTCNN_STORAGE", raising=False)
    form = r"not a database; use postgresql\+psycopg://USER:PASSWORD@HOST/DATABASE$"
    with pytest.raises(InputError, match=r"^storage serve mysql://a:\*\*\*@b/c: " + form):
        settings.served_settings("mysql://a:secret@b/c")
    with pytest.raises(InputError, match=r"^storage serve grpc://a:\*\*\*@b:1: a proxy itself; name its database$"):
        settings.served_settings("grpc://a:secret@b:1")
    with pytest.raises(InputError, match=r"^storage serve: the database is missing; name it, or set LIGHTCNN_STORAGE$"):
        settings.served_settings(None)
    monkeypatch.setenv("LIGHTCNN_STORAGE", "mysql://b/c")
    with pytest.raises(InputError, match=r"^storage serve: LIGHTCNN_STORAGE mysql://b/c: " + form):
        settings.served_settings(None)
    assert settings.served_settings(POSTGRES).url == POSTGRES


def test_a_wrong_url_of_the_environment_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTCNN_STORAGE", "mysql://b/c")
    with pytest.raises(InputError, match=r"^LIGHTCNN_STORAGE mysql://b/c: not a storage; use .* or grpc://HOST:PORT$"):
        shared_settings(None, "moles")
    monkeypatch.setenv("LIGHTCNN_STORAGE", "")
    with pytest.raises(InputError, match=r"^--study: .*name its database with --storage URL"):
        shared_settings(None, "moles")


def test_the_options_that_join_again_work_without_showing_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings.SharedSettings(POSTGRES, "moles")
    monkeypatch.delenv("LIGHTCNN_STORAGE", raising=False)
    assert given.options == "--storage 'postgresql+psycopg://anna:***@db/optuna' --study moles"
    with pytest.raises(InputError, match=r"\*\*\* hides the password; write the password there, or set LIGHTCNN_STOR"):
        shared_settings("postgresql+psycopg://anna:***@db/optuna", "moles")
    monkeypatch.setenv("LIGHTCNN_STORAGE", POSTGRES.replace("@db/", "@other/"))
    assert given.options.startswith("--storage ")
    monkeypatch.setenv("LIGHTCNN_STORAGE", POSTGRES)
    assert given.options == "--study moles"
    assert shared_settings(None, "moles") == settings.SharedSettings(POSTGRES, "moles", origin="LIGHTCNN_STORAGE")
    without = settings.SharedSettings("postgresql+psycopg://anna@db/optuna", "moles")
    assert without.options == "--storage postgresql+psycopg://anna@db/optuna --study moles"


def test_the_options_that_join_again_are_kept_in_the_run_folder(tmp_path: Path) -> None:
    given = settings.SharedSettings("grpc://db:13000", "moles", tmp_path / "my states", 1800.0)
    assert given.options == (
        f"--storage grpc://db:13000 --study moles --artifacts '{tmp_path}/my states' --trial-timeout 1800s"
    )
    assert parse_duration("1800s") == 1800.0
    relative = replace(given, artifacts=Path("my states"))
    run = RunFolder.create(tmp_path / "run", "search", {settings.SHARED_FILE: relative.yaml()})
    assert settings.read_note(run) == relative
    run.write_bytes(settings.SHARED_FILE, b"storage: grpc://db:13000\nstudy: moles\n")  # as earlier versions wrote it
    assert settings.read_note(run) == settings.SharedSettings("grpc://db:13000", "moles")


def test_options_of_a_shared_search_need_its_storage(tmp_path: Path) -> None:
    assert shared_settings(None, None) is None
    for options in ({"study": "moles"}, {"study": None, "artifacts": tmp_path}, {"study": None, "trial_timeout": 5.0}):
        with pytest.raises(InputError, match="name its database with --storage URL"):
            shared_settings(None, **options)


def test_an_absolute_folder_of_artifacts_is_not_in_the_run(tmp_path: Path) -> None:
    given = settings.SharedSettings("grpc://db:13000", "moles", tmp_path / "my states")
    run = RunFolder.create(tmp_path / "run", "search", {settings.SHARED_FILE: given.yaml()})
    assert str(tmp_path) not in (run / settings.SHARED_FILE).read_text()
    options = "--storage grpc://db:13000 --study moles --artifacts FOLDER"
    assert settings.resume_options(run) == options
    note = f"storage: grpc://db:13000\nstudy: moles\nartifacts: {tmp_path}\n"
    run.write_bytes(settings.SHARED_FILE, note.encode())  # as earlier versions wrote it
    assert settings.resume_options(run) == options
    with pytest.raises(InputError, match=r"^--artifacts FOLDER: name the folder that the search was"):
        shared_settings("grpc://db:13000", "moles", Path("FOLDER"))


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
    assert b"secret" not in settings.SharedSettings(POSTGRES, "moles").yaml()
    assert settings.SharedSettings("grpc://[::1]:13000", "moles").grpc_address == ("::1", 13000)
