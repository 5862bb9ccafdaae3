"""Run folders that version 0.1.0 wrote before its modules moved (commit 1724761) still load, predict and resume."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import TESTS

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.sources.load import load
from lightcnn.version import __version__

pytestmark = pytest.mark.usefixtures("undrawn_charts")

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


@pytest.mark.parametrize("name", ["train", "search"])
def test_an_earlier_run_predicts_what_it_predicted(runs: Path, name: str) -> None:
    earlier = lightcnn.Run.load(runs / name)
    expected = [row for row in rows(runs / name / "predictions.csv") if row["split"] == "test"]
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
    assert f"the search is of an earlier state of lightcnn {__version__} and cannot" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in before}
    assert after == before


def earlier_search(runs: Path, folder: Path, environment: object, report: object) -> Path:
    """A copy of the earlier search with other versions in its files; None leaves a version out."""
    shutil.copytree(runs / "search", folder)
    for name, version in (("environment.json", environment), ("report.json", report)):
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        del document["lightcnn"]
        document |= {} if version is None else {"lightcnn": version}
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    return folder


def refusal(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line in which an earlier search is refused, before its data are read."""
    settings = folder / "search.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("synthetic-lesions:count=40,size=16", "no-such-data"), encoding="utf-8")
    capsys.readouterr()
    assert run(["search", "--resume", "--out", str(folder), *(options or ("--trials", "3"))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("environment", "report", "made_by", "remedy"),
    [
        ("0.0.9", "0.0.8", "lightcnn 0.0.9", "choose a new --out, or continue it with lightcnn 0.0.9"),
        (None, "0.0.8", "lightcnn 0.0.8", "choose a new --out, or continue it with lightcnn 0.0.8"),
        (None, None, "an earlier version of lightcnn", "choose a new --out"),
        ("0.1\x1b[2J", ["0.0.8"], "an earlier version of lightcnn", "choose a new --out"),
    ],
)
def test_an_earlier_search_is_refused_with_its_version_and_this_one(
    environment: object, report: object, made_by: str, remedy: str, runs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = earlier_search(runs, tmp_path / "search", environment, report)
    expected = f"lightcnn: run {folder}: the search is of {made_by} and cannot be continued by this version, "
    assert refusal(folder, capsys) == f"{expected}{__version__}; {remedy}"
    assert refusal(folder, capsys, "--dry-run") == f"{expected}{__version__}; {remedy}"


def test_a_search_of_a_later_version_is_refused_likewise(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = earlier_search(runs, tmp_path / "search", None, None)
    (folder / "plan.yaml").write_text("version: 20\nfingerprint: a\n", encoding="utf-8")
    assert "the search is of a later version of lightcnn and cannot be continued" in refusal(folder, capsys)


def test_an_earlier_study_without_its_plan_is_refused_with_its_version(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = earlier_search(runs, tmp_path / "search", "0.0.9", None)
    (folder / "plan.yaml").unlink()
    assert run(["search", "--resume", "--out", str(folder), "--trials", "3", "--workers", "1", "--quiet"]) == 2
    message = capsys.readouterr().err
    assert (
        f"study.db: the search is of lightcnn 0.0.9 and cannot be continued by this version, {__version__}" in message
    )


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
