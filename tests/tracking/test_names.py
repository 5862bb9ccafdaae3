"""The names of trackers, and what is refused before any work."""

from __future__ import annotations

import re
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from lightcnn.errors import InputError
from lightcnn.tracking import names
from lightcnn.tracking.names import TRACKERS, require_trackers


def install(monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    """Makes these packages the only ones that are found."""

    def find(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None, origin=f"{name}/__init__.py") if name in installed else None

    monkeypatch.setattr(names.importlib.util, "find_spec", find)


def test_names_are_in_one_order_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *TRACKERS)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert require_trackers("mlflow") == ("mlflow",)
    assert require_trackers(["wandb", "tensorboard", "wandb"]) == ("tensorboard", "wandb")
    assert require_trackers(()) == ()


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_extra_is_refused_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(InputError, match=rf"^--log {name}: {name} is not installed; pip install 'lightcnn\[{name}\]'$"):
        require_trackers([name])


def test_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *TRACKERS)
    with pytest.raises(InputError, match=r"^--log 'mlfow' is not one of tensorboard, mlflow, wandb; did you mean 'mlf"):
        require_trackers(["tensorboard", "mlfow"])


@pytest.mark.parametrize("log", [None, 5])
def test_what_is_no_list_is_refused(log: Any) -> None:
    with pytest.raises(InputError, match=rf"^--log {log}: not a list of trackers; give some of tensorboard, mlflow"):
        require_trackers(log)


def test_a_folder_that_a_tracker_made_is_not_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wandb"
    folder.mkdir()
    monkeypatch.setattr(
        names.importlib.util, "find_spec", lambda name: ModuleSpec(name, None, is_package=True)
    )  # as for a folder without __init__.py
    with pytest.raises(InputError, match="wandb is not installed"):
        require_trackers("wandb")


def test_a_missing_key_is_refused_unless_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra lightcnn[wandb] is not installed")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(
        InputError, match=r"(?i)^--log wandb: no API key configured.*; or set WANDB_MODE=offline, which logs"
    ):
        require_trackers("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert require_trackers("wandb") == ("wandb",)


@pytest.mark.parametrize("allowed", [None, "", "false", "yes"])
@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "File:mlruns", "./mlruns", "/tmp/a:b", "uc/mlruns"])
def test_a_file_store_without_its_permission_is_refused(
    uri: str, allowed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *TRACKERS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    if allowed is not None:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", allowed)
    expected = (
        f"--log mlflow: MLFLOW_TRACKING_URI is '{uri}', a file store, which MLflow refuses without its permission; set "
        "MLFLOW_ALLOW_FILE_STORE=true, or unset MLFLOW_TRACKING_URI, which logs into the run folder"
    )
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        require_trackers(["tensorboard", "mlflow"])
    assert require_trackers("tensorboard") == ("tensorboard",)


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("file:///tmp/mlruns", "true"), ("mlruns", "TRUE"), ("mlruns", "1"), ("", "false"), ("uc", "false"),
        ("sqlite:///mlflow.db", "false"), ("http://127.0.0.1:5000", "false"), ("databricks", "false"),
        ("databricks://profile", "false"), ("http://[", "false"),
    ],
)  # fmt: skip
def test_other_stores_of_mlflow_need_no_permission(uri: str, allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *TRACKERS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", allowed)
    assert require_trackers("mlflow") == ("mlflow",)
