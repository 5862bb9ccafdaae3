"""The names of trackers, and what is refused before any work."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

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
