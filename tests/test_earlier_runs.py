"""Run folders that version 0.1.0 wrote before its modules moved (commit 1724761) still load, predict and resume."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import TESTS

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.sources.load import load

ARCHIVE = TESTS / "fixtures" / "runs-before-the-move.zip"
"""`train`, `folds`, `search`, `ablate`, `explain` are finished; `stopped` was interrupted after 248 of 400 epochs."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_earlier_run_predicts_what_it_predicted(runs: Path) -> None:
    earlier = lightcnn.Run.load(runs / "train")
    expected = [row for row in rows(runs / "train" / "predictions.csv") if row["split"] == "test"]
    data = load("synthetic-lesions:count=40,size=16")
    predictions = earlier.predict([data.images[data.paths.index(row["path"])] for row in expected])
    classes = earlier.report["data"]["classes"]
    probabilities = np.array([[float(row[f"p_{name}"]) for name in classes] for row in expected])
    assert len(expected) >= 4
    np.testing.assert_allclose(predictions.probabilities, probabilities, atol=1e-4)
    assert list(predictions.predictions) == [row["prediction"] for row in expected]


def test_an_interrupted_training_resumes(runs: Path) -> None:
    before = (runs / "stopped" / "metrics.csv").read_text(encoding="utf-8")
    assert run(["train", "--resume", "--out", str(runs / "stopped"), "--quiet"]) == 0
    after = (runs / "stopped" / "metrics.csv").read_text(encoding="utf-8")
    assert after.startswith(before)
    assert len(rows(runs / "stopped" / "metrics.csv")) == 400


def test_an_earlier_search_is_shown_but_not_continued(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--resume", "--out", str(runs / "search")]) == 0
    shown = capsys.readouterr().out
    assert "test accuracy" in shown
    assert "search longer with" not in shown
    before = {path: path.read_bytes() for path in (runs / "search").rglob("*") if path.is_file()}
    assert run(["search", "--resume", "--out", str(runs / "search"), "--trials", "3", "--quiet"]) == 2
    assert "the search was started by an earlier version of lightcnn" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in before}
    assert after == before


def test_finished_explanations_are_read_again(runs: Path) -> None:
    (runs / "explain" / "report.json").rename(runs / "earlier.json")
    arguments = ["explain", str(runs / "train"), "--images", "1", "--method", "gradcam", "--quiet"]
    assert run([*arguments, "--resume", "--out", str(runs / "explain")]) == 0
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (
        runs / "earlier.json", runs / "explain" / "report.json"
    ))  # fmt: skip
    assert [entry.pop("unlikeness") for entry in after["explanations"]] == [None]
    assert after["explanations"] == before["explanations"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--resume", "--out", "folds"],
        ["train", "train/recipe.yaml", "--dry-run"],
        ["ablate", "--resume", "--out", "ablate"],
        ["explain", "train", "--images", "1", "--method", "gradcam"],
        ["profile", "train", "search", "--no-latency"],
        ["compare", "train", "stopped"],
    ],
    ids=" ".join,
)
def test_every_command_takes_an_earlier_run(
    runs: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs)
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["command"] == arguments[0]
