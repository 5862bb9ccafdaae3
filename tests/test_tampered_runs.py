"""Run folders from someone else: no command reads, writes or removes anything outside, whatever they contain."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tampered_runs import COMMANDS, SHOWN, prepare, run_safely

from lightcnn.cli import main

pytestmark = pytest.mark.usefixtures("undrawn_charts")

FILES = {
    "train": (
        "environment.json", "data.json", "recipe.yaml", "metrics.csv", "log.txt", "checkpoints", "checkpoints/000248",
        "checkpoints/last.json", "checkpoints/000248/progress.json", "checkpoints/000248/tensors.safetensors",
    ),
    "folds": ("repeats.json", "data.json", "parts", "parts/seed-0-fold-1", "parts/seed-0-fold-1/report.json",
              "parts/seed-0-fold-1/predictions.csv"),
    "search": ("search.yaml", "study.db", "plan.yaml", "trials.csv", "trainings", "trainings/000000-final.json"),
    "ablate": ("ablation.json", "data.json", "changes", "changes/optimizer-sgd", "changes/optimizer-sgd/report.json"),
    "explain": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json", "recipe.yaml"),
    "resumed": ("explain.json", "explained", "explained/001.json", "panels", "panels/001.png", "maps/001-gradcam.npy"),
    "predict": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json"),
    "profile": ("report.json", "spec.yaml"),
    "export": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json"),
    "serve": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json"),
    "compare": ("report.json", "predictions.csv"),
    "distill": ("report.json", "spec.yaml", "weights.safetensors", "preprocess.json"),
}  # fmt: skip
"""What each command reads, writes or removes below the run folder."""
DRAWN = ("panel", "curves", "maps", "overlays")
"""The kinds of files that an explanation names."""
PLACES = ("{outside}/secret.txt", "../../outside/secret.txt", "/dev/zero", "panels/../../x")
"""Places that are not files of a run folder."""
CASES = [(command, name) for command, names in FILES.items() for name in names]
JSON_CASES = [
    (command, name) for command, name in CASES
    if name.endswith(".json") and (command, name) not in {
        ("train", "environment.json"), ("explain", "preprocess.json"), ("predict", "preprocess.json"),
        ("predict", "report.json"), ("distill", "preprocess.json"), ("serve", "report.json"), ("export", "report.json"),
        ("export", "preprocess.json"),
    }
]  # fmt: skip


def refuses(runs: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command; returns its error of one line, after which nothing outside has changed."""
    code, errors = run_safely(runs, *COMMANDS[command], capsys)
    assert code == 2, errors
    assert len(errors) == 1, errors
    return errors[0]


def test_the_cases_cover_all_commands() -> None:
    assert set(FILES) == set(COMMANDS)
    elsewhere = {"audit", "check", "list", "storage"}  # they open no run folder
    elsewhere |= {"dashboard"}  # it serves until it is stopped: tests/cli/test_dashboard.py
    assert {arguments[0] for _, arguments in COMMANDS.values()} == set(main.COMMANDS) - elsewhere
    assert len(CASES) >= 45
    assert len(JSON_CASES) == 17


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
    path = prepare(runs, "search", name)
    path.unlink(missing_ok=True)  # older versions of SQLAlchemy leave them
    path.symlink_to(runs.parent / "outside" / "secret.txt")
    assert name in refuses(runs, "search", capsys)


@pytest.mark.parametrize("name", ["../../../outside/run", "/tmp/outside", "..", "a/b", ""])
def test_a_change_is_named_like_a_folder_of_the_run(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(runs, "ablate", "ablation.json")
    plan = json.loads(path.read_bytes())
    plan["trials"][1]["name"] = name
    path.write_text(json.dumps(plan), encoding="utf-8")
    assert "ablation.json is missing or damaged" in refuses(runs, "ablate", capsys)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *zip(DRAWN, PLACES, strict=True),
        *(pytest.param(key, name, marks=pytest.mark.long) for key in DRAWN for name in PLACES),
    ],
)
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


@pytest.mark.parametrize(
    "value", [None, 10**400, *(pytest.param(value, marks=pytest.mark.long) for value in ([], "x"))]
)
@pytest.mark.parametrize(
    ("command", "name", "key"),
    [
        ("shown training", "report.json", "metrics"),
        ("shown folds", "report.json", "metrics"),
        ("shown search", "report.json", "best"),
        ("shown ablation", "report.json", "pairs"),
        ("folds", "parts/seed-0-fold-1/report.json", "metrics"),
        ("ablate", "changes/optimizer-sgd/report.json", "summary"),
    ],
)
def test_values_of_another_type_are_refused(command, name, key, value, runs: Path, capsys) -> None:
    path = prepare(runs, command, name)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {key: value}), encoding="utf-8")
    code, errors = run_safely(runs, *(COMMANDS | SHOWN)[command], capsys)
    if key == "pairs" and value == []:
        assert code == 0  # a report without pairs
    else:
        assert code == 2
        assert len(errors) == 1
        assert "report.json" in errors[0]
        assert any(text in errors[0] for text in ("has other values than lightcnn writes", "is too large a number"))
