"""`lightcnn ablate`: what it trains and writes, what it resumes, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pages import read_page
from sklearn.datasets import load_digits

import lightcnn
from lightcnn import document
from lightcnn.ablating.settings import AblateSettings
from lightcnn.ablating.surgery import OPERATIONS, apply_operation
from lightcnn.cli.main import run
from lightcnn.device_cost import device_cost
from lightcnn.recipe import Recipe
from lightcnn.spec import NetworkSpec


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


TINY = """
name: tiny
data: {data}
network:
  input: [1, 8, 8]
  stages:
    - {{kind: conv, width: 12, stride: 2}}
    - {{kind: mbconv, width: 12, expand: 2.0, se: 0.25}}
  classes: 3
training: {{epochs: 2, batch: 16, optimizer: adam, weight_decay: 0.0}}
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    """A recipe of a tiny network on 240 digits of three classes."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits(n_class=3)
    images, labels = digits.images[:240].astype(np.uint8) * 15, digits.target[:240]
    np.savez(folder / "three.npz", train_images=images, train_labels=labels, class_names=np.array(["o", "i", "z"]))
    (folder / "tiny.yaml").write_text(TINY.format(data=folder / "three.npz"))
    return folder / "tiny.yaml"


@pytest.fixture(scope="session")
def finished(recipe: Path, tmp_path_factory) -> Path:
    """An ablation over two changes."""
    folder = tmp_path_factory.mktemp("ablated") / "run"
    arguments = ["ablate", str(recipe), "--over", "architecture", "--only", "no-se,relu"]
    assert run([*arguments, "--out", str(folder), "--quiet"]) == 0
    return folder


def report_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return document


def test_a_finished_ablation_has_one_row_per_change(finished: Path) -> None:
    report = report_of(finished)
    assert report["command"] == "ablate"
    assert [row["change"] for row in report["rows"]] == ["unchanged", "no-se", "relu"]
    for row in report["rows"]:
        part = report_of(finished / "changes" / row["change"])
        assert row["metric"] == part["summary"]["accuracy"]
        assert row["cost"] == part["network"]["cost"]
        assert len(row["metric"]["values"]) == 1 and row["metric"]["sd"] is None
    assert report["rows"][1]["cost"]["params"] < report["rows"][0]["cost"]["params"]
    assert report["failed"] == report["left_out"] == []
    assert not report["data"]["stand_in"]


def test_the_run_folder_has_the_settings_and_all_files(finished: Path, recipe: Path) -> None:
    assert {path.name for path in finished.iterdir()} - {".lock"} == {
        "ablate.yaml", "ablation.json", "recipe.yaml", "data.json", "changes", "plots", "log.txt", "report.html",
        "report.json", "environment.json",
    }  # fmt: skip
    settings = document.load(AblateSettings, finished / "ablate.yaml")
    assert (settings.recipe, settings.only) == (Recipe.load(recipe), ("no-se", "relu"))


def test_a_run_folder_without_settings_is_resumed(finished: Path, tmp_path: Path) -> None:
    """Run folders of earlier versions have no ablate.yaml."""
    folder = tmp_path / "earlier"
    shutil.copytree(finished, folder)
    for name in ("ablate.yaml", "report.json"):
        (folder / name).unlink()
    assert run(["ablate", "--resume", "--out", str(folder), "--quiet"]) == 0
    assert without_times(report_of(folder)) == without_times(report_of(finished))


def test_differences_are_those_from_the_unchanged_recipe(finished: Path) -> None:
    base, *others = report_of(finished)["rows"]
    assert base["difference"] is None
    for row in others:
        assert row["difference"] == pytest.approx(row["metric"]["mean"] - base["metric"]["mean"])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["p"] <= row["p_adjusted"] <= min(1.0, 2 * row["p"]) + 1e-9, "Holm over two changes"


def test_the_page_and_the_plots_are_written(finished: Path) -> None:
    text = read_page((finished / "report.html").read_bytes())
    assert "no-se" in text and "relu" in text and "unchanged" in text
    assert text.count('<div class="scroll"') == text.count("<table") + text.count('class="chart"') > 0
    plots = {file.name: file.read_bytes() for file in (finished / "plots").iterdir()}
    assert plots.keys() == {"differences.png", "scores.png", "macs.png", "params.png"}
    assert len(set(plots.values())) == 4
    assert all(plot.startswith(b"\x89PNG") for plot in plots.values())


def test_a_finished_ablation_is_shown_again_and_not_trained(finished: Path, capsys) -> None:
    before = (finished / "changes" / "no-se" / "report.json").stat().st_mtime_ns
    assert run(["ablate", "--resume", "--out", str(finished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report_of(finished)
    assert (finished / "changes" / "no-se" / "report.json").stat().st_mtime_ns == before
    assert run(["ablate", "--resume", "--out", str(finished)]) == 0
    printed = capsys.readouterr().out
    assert "unchanged" in printed and "p (Holm)" in printed and str(finished) in printed


def test_a_different_ablation_is_not_resumed(finished: Path, recipe: Path, capsys) -> None:
    arguments = ["ablate", str(recipe), "--over", "architecture", "--only", "no-se"]
    assert run([*arguments, "--resume", "--out", str(finished)]) == 2
    assert "was started with other changes" in capsys.readouterr().err
    assert run([*arguments, "--epochs", "9", "--resume", "--out", str(finished)]) == 2
    assert "training.epochs: 2 in the run, 9 given" in capsys.readouterr().err
    assert run([*arguments, "--out", str(finished)]) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.long
def test_an_ablation_resumes_after_kill_9_with_the_same_result(finished: Path, recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    arguments = ["ablate", str(recipe), "--over", "architecture", "--only", "no-se,relu"]
    child = subprocess.Popen([sys.executable, "-m", "lightcnn", *arguments, "--out", str(folder), "--quiet"])
    deadline = time.monotonic() + 240
    while not (folder / "changes" / "no-se" / "parts" / "seed-0" / "metrics.csv").is_file():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    trained = (folder / "changes" / "unchanged" / "report.json").stat().st_mtime_ns
    assert not (folder / "report.json").exists()
    assert run(["ablate", "--resume", "--out", str(folder), "--quiet"]) == 0
    assert (folder / "changes" / "unchanged" / "report.json").stat().st_mtime_ns == trained, "not trained again"
    assert without_times(report_of(folder)) == without_times(report_of(finished))
    for name in ("unchanged", "no-se", "relu"):
        resumed, whole = ((of / "changes" / name / "predictions.csv").read_bytes() for of in (folder, finished))
        assert resumed == whole


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """A report without its times."""
    rows = [row | {"seconds": 0} for row in report["rows"]]
    return report | {"seconds": 0, "rows": rows}


def test_a_failing_change_is_reported_and_the_others_are_trained(recipe: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "changes.yaml").write_text(
        "changes:\n  diverges: {training.optimizer: sgd, training.learning_rate: 10}\n  short: {training.epochs: 1}\n"
    )
    assert run(["ablate", str(recipe), "--over", "changes.yaml", "--out", "run"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightcnn: ")]
    assert line.startswith("lightcnn: change diverges failed: the loss became ")
    report = report_of(tmp_path / "run")
    assert [row["change"] for row in report["rows"]] == ["unchanged", "short"]
    assert [failure["change"] for failure in report["failed"]] == ["diverges"]
    assert "the loss became " in (tmp_path / "run" / "report.html").read_text()
    assert "Traceback" in (tmp_path / "run" / "log.txt").read_text()
    kept = (tmp_path / "run" / "changes" / "short" / "report.json").stat().st_mtime_ns
    assert run(["ablate", "--resume", "--out", "run", "--quiet"]) == 1, "what failed is tried again"
    assert (tmp_path / "run" / "changes" / "short" / "report.json").stat().st_mtime_ns == kept
    assert without_times(report_of(tmp_path / "run")) == without_times(report)


def test_an_unchanged_recipe_that_fails_ends_the_ablation(recipe: Path, capsys) -> None:
    hot = ["--set", "training.optimizer=sgd", "--set", "training.learning_rate=10"]
    assert run(["ablate", str(recipe), "--over", "architecture", *hot, "--out", "run"]) == 1
    assert "lightcnn: the loss became " in capsys.readouterr().err
    assert not Path("run/report.json").exists()
    assert not Path("run/changes/no-se").exists()


def test_a_change_that_does_not_fit_the_data_is_left_out(recipe: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "changes.yaml").write_text("changes: {huge: {training.batch: 4096}, short: {training.epochs: 1}}\n")
    assert run(["ablate", str(recipe), "--over", "changes.yaml", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "left out: huge: training.batch: 4096 images, but the training set" in printed
    assert run(["ablate", str(recipe), "--over", "changes.yaml", "--only", "huge", "--out", "run"]) == 2
    assert "nothing to change" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_dry_run_has_exact_costs_and_times_and_writes_nothing(recipe: Path, tmp_path: Path, capsys) -> None:
    arguments = ["ablate", str(recipe), "--over", "architecture,augmentation", "--folds", "3", "--seeds", "2"]
    assert run([*arguments, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["dry_run"], plan["folds"], plan["seeds"]) == (True, 3, 2)
    by_name = {row["change"]: row for row in plan["rows"]}
    assert {"unchanged", "no-se", "augment-none"} < by_name.keys()
    network = Recipe.load(recipe).network
    assert isinstance(network, NetworkSpec)
    assert by_name["no-se"]["cost"] == device_cost(apply_operation(network, OPERATIONS["no-se"])).document()
    assert plan["estimate"]["seconds"] == pytest.approx(sum(row["seconds"] for row in plan["rows"]), abs=0.01)
    assert all(row["seconds"] > 0 for row in plan["rows"])
    assert list(tmp_path.iterdir()) == []


def test_a_baseline_too_large_for_the_images_is_reported(recipe: Path, capsys) -> None:
    assert run(["ablate", str(recipe), "--over", "baselines", "--only", "vgg16", "--dry-run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[1]["change"] == "vgg16" and rows[1]["cost"] is None
    assert "vgg16 cannot take 1×8×8" in rows[1]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RECIPE is missing"),
        (["quick"], "--over is missing"),
        (["quick", "--over", "nothing.yaml"], "no such file, and not one of architecture"),
        (["quick", "--over", "architecture", "--resume"], "--resume: --out is missing"),
        (["--resume", "--out", "nowhere", "--over", "architecture"], "run nowhere: "),
        (["quick", "--over", "architecture", "--folds", "1"], "--folds 1"),
        (["quick", "--over", "architecture", "--folds", "2000"], "2000"),
        (["quick", "--over", "architecture", "--seeds", "0"], "--seeds 0"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line(arguments: list[str], message: str, capsys) -> None:
    assert run(["ablate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("runs").exists()


def test_a_training_cannot_be_resumed_as_an_ablation(finished: Path, capsys) -> None:
    assert run(["ablate", "--resume", "--out", str(finished / "changes" / "relu")]) == 2
    assert "is not a run of `lightcnn ablate`" in capsys.readouterr().err


@pytest.mark.long
def test_python_ablates_too_and_folds_test_every_image(recipe: Path) -> None:
    run = lightcnn.ablate(recipe, over="augmentation", only=["augment-none"], folds=2, out="folded")
    assert run.report["data"]["counts"]["test"] == 240
    assert [len(row["metric"]["values"]) for row in run.report["rows"]] == [2, 2]
    assert all(pair["units"] == 240 for pair in run.report["pairs"])


def test_a_dry_run_on_synthetic_images_has_a_warning(capsys) -> None:
    arguments = ["ablate", "quick", "--over", "augmentation", "--only", "augment-none", "--dry-run"]
    data = ["--data", "synthetic-lesions:count=60,size=16", "--set", "network.classes=2"]
    assert run([*arguments, *data, "--set", "network.input=[3,16,16]", "--set", "training.batch=8"]) == 0
    assert "STAND-IN" in capsys.readouterr().err
