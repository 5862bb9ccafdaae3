"""Names that are not UTF-8, that are formulas, or that hold escapes for terminals, in a whole run."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightcnn.cli.main import run
from lightcnn.evaluation.predictions import read_predictions
from lightcnn.run_folder import RunFolder

RECIPE = (
    "data: images\nnetwork: {input: [1, 8, 8], stages: [{kind: conv, width: 4}], classes: 2}\naugment: none\n"
    "training: {epochs: 1, batch: 4}\n"
)
NOT_UTF8 = os.fsdecode(b"caf\xe9")


def write_images(folder: Path, classes: tuple[str, str], prefix: str) -> None:
    """Writes 24 dark and bright images, whose names begin with `prefix`, into class folders."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(24):
            pixels = random.integers(0, 100, (8, 8)) + 150 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{prefix}{number}{image}.png")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(RECIPE)


def test_a_run_on_such_files_is_written_read_and_resumed(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        write_images(Path("images"), ("=1+1", "b\x1b[31m"), f"-{NOT_UTF8}\x1b[2J")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    assert run(["train", "recipe.yaml", "--out", "run"]) == 0
    assert run(["train", "--resume", "--out", "run"]) == 0
    assert run(["predict", "run", "images", "--csv", "predicted.csv"]) == 0
    printed = capfd.readouterr()
    assert "\x1b" not in printed.out + printed.err + Path("run/log.txt").read_text()
    rows = read_predictions(RunFolder.load("run"))
    assert {row["label"] for row in rows} == {"=1+1", "b\x1b[31m"}
    assert all(row["path"].startswith(f"{row['label']}/-{NOT_UTF8}\x1b[2J") for row in rows)
    for name in ("run/predictions.csv", "predicted.csv"):
        with open(name, encoding="utf-8", errors="surrogateescape", newline="") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        assert cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]


@pytest.mark.parametrize("command", [["train", "recipe.yaml"], ["audit", "images"], ["search", "--data", "images"]])
def test_a_class_whose_name_is_not_utf8_is_refused_before_any_work(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        write_images(Path("images"), (NOT_UTF8, "plain"), "x")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    budget = ["--budget", "1MFLOPs"] if command[0] == "search" else []
    assert run([*command, *budget, "--out", "run"]) == 2
    assert r"the name of the class 'caf\udce9' is not UTF-8; rename it" in capfd.readouterr().err
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["audit", NOT_UTF8], ["train", "recipe.yaml", "--data", NOT_UTF8], ["audit", "digits", "--out", NOT_UTF8],
        ["search", "--budget", "1MFLOPs", "--data", NOT_UTF8], ["train", "recipe.yaml", "--set", f"name={NOT_UTF8}"],
        ["compare", NOT_UTF8, "other"], ["explain", NOT_UTF8], ["train", "recipe.yaml", "--data-dir", NOT_UTF8],
    ],
)  # fmt: skip
def test_an_option_that_is_not_utf8_is_refused_in_one_line(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    error = capfd.readouterr().err
    assert "not UTF-8" in error
    assert error.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["recipe.yaml"]


def test_json_on_stdout_has_escapes_only(capfd: pytest.CaptureFixture[str]) -> None:
    Path("a\x1b[2J.yaml").write_text("a: 1")
    assert run(["check", "a\x1b[2J.yaml", "--json"]) == 2
    printed = capfd.readouterr().out
    assert "\x1b" not in printed
    assert json.loads(printed)["files"][0]["file"] == "a\x1b[2J.yaml"
