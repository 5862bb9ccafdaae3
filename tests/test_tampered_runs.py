"""Run folders from someone else: no command reads, writes or removes anything outside, whatever they contain."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import TESTS

from lightcnn.cli.main import run

SECRET = b"the secret of a file outside of the run folder"
COMMANDS = {
    "train": ("stopped", ["train", "--resume", "--out", "stopped", "--quiet"]),
    "folds": ("folds", ["train", "--resume", "--out", "folds", "--quiet"]),
    "search": ("search", ["search", "--resume", "--out", "search", "--trials", "3", "--quiet"]),
    "ablate": ("ablate", ["ablate", "--resume", "--out", "ablate", "--quiet"]),
    "explain": ("train", ["explain", "train", "--images", "1", "--method", "gradcam", "--out", "new", "--quiet"]),
    "resumed": (
        "explain",
        ["explain", "train", "--images", "1", "--method", "gradcam", "--out", "explain", "--resume", "--quiet"],
    ),
    "predict": ("train", ["predict", "train", "image.png"]),
    "profile": ("train", ["profile", "train", "--no-latency", "--quiet"]),
    "compare": ("train", ["compare", "train", "other", "--quiet"]),
}
"""The tampered run folder and the command line of every command that takes a run."""
FILES = {
    "train": (
        "environment.json", "data.json", "recipe.yaml", "metrics.csv", "log.txt", "checkpoints", "checkpoints/000248",
        "checkpoints/last.json", "checkpoints/000248/progress.json", "checkpoints/000248/tensors.safetensors",
    ),
    "folds": ("repeats.json", "data.json", "parts", "parts/seed-0-fold-1", "parts/seed-0-fold-1/report.json",
              "parts/seed-0-fold-1/predictions.csv"),
    "search": ("search.yaml", "study.db", "plan.yaml", "trials.csv"),
    "ablate": ("ablation.json", "data.json", "changes", "changes/optimizer-sgd", "changes/optimizer-sgd/report.json"),
    "explain": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json", "recipe.yaml"),
    "resumed": ("explain.json", "explained", "explained/001.json", "panels", "panels/001.png", "maps/001-gradcam.npy"),
    "predict": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json"),
    "profile": ("report.json", "spec.yaml"),
    "compare": ("report.json", "predictions.csv"),
}  # fmt: skip
"""What each command reads, writes or removes below the run folder."""
CASES = [(command, name) for command, names in FILES.items() for name in names]
JSON_CASES = [
    (command, name) for command, name in CASES
    if name.endswith(".json") and (command, name) not in {
        ("train", "environment.json"), ("explain", "preprocess.json"), ("predict", "preprocess.json"),
        ("predict", "report.json"),
    }
]  # fmt: skip
FINISHED = ("folds", "search", "ablate", "resumed")
"""Commands that resume a finished run: it loses its report.json first."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as file:
        file.extractall(folder)
    shutil.copytree(folder / "train", folder / "other")
    return folder


@pytest.fixture
def runs(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs, and next to them a folder `outside` with a secret."""
    shutil.copytree(archive, tmp_path / "runs")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_bytes(SECRET)
    from PIL import Image

    Image.new("RGB", (16, 16), "red").save(tmp_path / "runs" / "image.png")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


def snapshot(folder: Path) -> dict[str, Any]:
    """Content and time of every file of a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def refuses(runs: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command; returns its error of one line, after which nothing outside has changed."""
    folder, arguments = COMMANDS[command]
    before = snapshot(runs.parent / "outside")
    capsys.readouterr()
    code = run(arguments)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightcnn: ")]
    assert snapshot(runs.parent / "outside") == before
    assert code == 2, errors
    assert len(errors) == 1, errors
    assert "bug in lightcnn" not in errors[0]
    leaks = (SECRET, base64.b64encode(SECRET)[:40])
    inside = [path for path in (runs / folder).rglob("*") if path.is_file() and path.lstat().st_nlink == 1]
    inside = [path for path in inside if not path.is_symlink()]
    assert not [path for path in inside if any(leak in path.read_bytes() for leak in leaks)]
    return errors[0]


def prepare(runs: Path, command: str, name: str) -> Path:
    """The file to tamper with, in a run that still has work to do."""
    folder = runs / COMMANDS[command][0]
    if command in FINISHED:
        (folder / "report.json").unlink(missing_ok=True)
    return folder / name


def test_the_cases_cover_all_commands() -> None:
    assert set(FILES) == set(COMMANDS)
    assert len(CASES) >= 40
    assert len(JSON_CASES) == 14


@pytest.mark.parametrize(("command", "name"), CASES)
def test_links_are_refused(command: str, name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(runs, command, name)
    moved = runs.parent / "outside" / path.name
    path.rename(moved)
    path.symlink_to(moved)
    assert f"{path.name} is a link; a run folder contains its own files only" in refuses(runs, command, capsys)


@pytest.mark.parametrize(("command", "name"), [case for case in CASES if "." in case[1]])
def test_special_files_are_refused(command: str, name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(runs, command, name)
    path.unlink()
    os.mkfifo(path)
    assert f"{path.name} is not a regular file" in refuses(runs, command, capsys)


@pytest.mark.parametrize(("command", "name"), JSON_CASES)
def test_deep_json_is_refused(command: str, name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(runs, command, name)
    path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000, encoding="utf-8")
    error = refuses(runs, command, capsys)
    assert path.name in error or f"{Path(name).parent.name}/{path.name}" in error


@pytest.mark.parametrize("name", [".lock", "log.txt"])
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_files_that_are_changed_in_place_have_no_other_name(
    name: str, link: Callable[[Path, Path], None], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prepare(runs, "train", name)
    path.unlink(missing_ok=True)
    link(runs.parent / "outside" / "secret.txt", path)
    assert name in refuses(runs, "train", capsys)


@pytest.mark.parametrize("name", ["study.db-wal", "study.db-shm", "study.db-journal"])
def test_the_files_beside_a_study_are_its_own(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(runs, "search", name).symlink_to(runs.parent / "outside" / "secret.txt")
    assert name in refuses(runs, "search", capsys)


@pytest.mark.parametrize("name", ["../../../outside/run", "/tmp/outside", "..", "a/b", ""])
def test_a_change_is_named_like_a_folder_of_the_run(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(runs, "ablate", "ablation.json")
    plan = json.loads(path.read_bytes())
    plan["trials"][1]["name"] = name
    path.write_text(json.dumps(plan), encoding="utf-8")
    assert "ablation.json is missing or damaged" in refuses(runs, "ablate", capsys)


@pytest.mark.parametrize("name", ["{outside}/secret.txt", "../../outside/secret.txt", "/dev/zero", "panels/../../x"])
@pytest.mark.parametrize("key", ["panel", "curves", "maps", "overlays"])
def test_an_explanation_names_files_of_its_run(
    key: str, name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prepare(runs, "resumed", "explained/001.json")
    record = json.loads(path.read_bytes())
    place = name.format(outside=runs.parent / "outside")
    record["drawn"][key] = {"gradcam": place} if isinstance(record["drawn"][key], dict) else place
    path.write_text(json.dumps(record), encoding="utf-8")
    assert "is not that of a file in the run folder" in refuses(runs, "resumed", capsys)


EDITS = {
    "list": "UPDATE trial_user_attributes SET value_json='[1]'",
    "text": "UPDATE trial_user_attributes SET value_json='\"x\"'",
    "broken": "UPDATE trial_user_attributes SET value_json='{'",
    "deep": f"UPDATE trial_user_attributes SET value_json='{'[' * 100_000}'",
    "shape": "UPDATE trial_user_attributes SET value_json='{\"size\": 28}' WHERE key='shape'",
    "negative": "UPDATE trial_user_attributes SET value_json='-1' WHERE key='elapsed'",
    "fingerprint": "UPDATE study_user_attributes SET value_json='[1]'",
    "state": "UPDATE trials SET state='NONE'",
    "waiting": "UPDATE trials SET state='WAITING'",
    "number": "UPDATE trials SET number=number+7",
    "score": "UPDATE trial_intermediate_values SET intermediate_value='x'",
    "infinite": "UPDATE trial_intermediate_values SET intermediate_value=9e999, intermediate_value_type='FINITE'",
    "parameters": "UPDATE trial_params SET distribution_json='{}'",
    "value": "UPDATE trial_params SET param_value=99999",
    "table": "DROP TABLE trial_user_attributes",
    "direction": "UPDATE study_directions SET direction='MINIMIZE'",
}
"""Edits of the study of a search."""


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_study_is_refused(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(runs, "search", "study.db")
    with sqlite3.connect(path) as connection:
        connection.execute(EDITS[name])
    connection.close()
    assert "study.db: " in refuses(runs, "search", capsys)
