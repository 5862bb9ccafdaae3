"""`--fast`, `--thorough` and the announcement of the search for near duplicates, in all commands that read data."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from helpers.audited_images import use_quick_search, write_clean
from helpers.clocks import replace_clocks

from lightcnn.cli.main import run
from lightcnn.data.grouping import near_duplicates
from lightcnn.output import terminal
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching import preparation
from lightcnn.searching.settings import load_settings

pytestmark = pytest.mark.usefixtures("undrawn_charts")

RECIPE = """
data: clean
network: {input: [3, 16, 16], stages: [{kind: conv, width: 4, stride: 2}], classes: 2}
augment: none
training: {epochs: 1, batch: 4}
"""
COMMANDS = {
    "search": [
        "search",
        "--budget",
        "100kFLOPs",
        "--data",
        "clean",
        "--trials",
        "1",
        "--epochs",
        "1",
        "--workers",
        "1",
    ],
    "train": ["train", "tiny.yaml"],
    "ablate": ["ablate", "tiny.yaml", "--over", "architecture", "--only", "relu"],
}
ANNOUNCED = "searching for near duplicates among 20 images"
SKIPPED = "near duplicates were not searched for (--fast)"


@pytest.fixture(autouse=True)
def _photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty photographs and a recipe for them."""
    use_quick_search(tmp_path, monkeypatch)
    assert write_clean() == "clean"
    Path("tiny.yaml").write_text(RECIPE)


@pytest.mark.parametrize("command", ["search", "train", "ablate"])
def test_the_search_is_announced_once(command, capsys):
    assert run([*COMMANDS[command], "--dry-run"]) == 0
    assert capsys.readouterr().err.splitlines().count(ANNOUNCED) == 1
    assert run([*COMMANDS[command], "--dry-run"]) == 0
    assert ANNOUNCED not in capsys.readouterr().err, "the result is in the cache"


def test_an_audit_announces_a_long_search(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "MIN_ANNOUNCED", 20)
    assert run(["audit", "clean", "--out", "one"]) == 0
    assert capsys.readouterr().err == f"{ANNOUNCED}\n"
    assert run(["audit", "clean", "--out", "two", "--fast"]) == 0
    assert capsys.readouterr().err == ""
    assert [warning["code"] for warning in RunFolder.load("two").report["data"]["warnings"]] == [
        "near_duplicates_not_searched"
    ]
    assert SKIPPED in Path("two/report.html").read_text()


@pytest.mark.parametrize("command", ["search", "train"])
def test_fast_is_stated_in_report_page_and_terminal_and_stays(command, capsys):
    assert run([*COMMANDS[command], "--fast", "--out", "run"]) == 0
    captured = capsys.readouterr()
    assert ANNOUNCED not in captured.err
    assert "Near duplicates were not searched for (--fast): 20 images were not compared" in captured.out
    data = RunFolder.load("run").report["data"]
    assert SKIPPED in data["groups"]["why"]
    assert [(entry["code"], entry["count"]) for entry in data["warnings"]] == [("near_duplicates_not_searched", 20)]
    assert "Near duplicates were not searched for (--fast)" in Path("run/report.html").read_text()
    assert Recipe.load("run/recipe.yaml").reading.fast
    if command == "search":
        assert load_settings(Path("run")).reading.fast


@pytest.mark.parametrize("command", ["search", "train"])
def test_fast_cannot_change_on_resume(command, capsys):
    assert run([*COMMANDS[command], "--out", "run", "--quiet"]) == 0
    capsys.readouterr()
    assert run([*COMMANDS[command], "--fast", "--resume", "--out", "run"]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert re.search(r"was started with .*fast", error), error


def test_a_search_continues_with_the_groups_that_it_began_with_whatever_an_audit_has_found(capsys, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MAX_IMAGES_BY_DEFAULT", 19)
    assert run([*COMMANDS["search"], "--out", "run", "--quiet"]) == 0
    assert run(["audit", "clean", "--out", "audit", "--quiet"]) == 0
    assert run(["search", "--resume", "--out", "run", "--trials", "2", "--quiet"]) == 0, capsys.readouterr().err
    report = RunFolder.load("run").report
    assert report["counts"]["proposed"] == 2
    assert "among more than 19 images; --thorough does that" in report["data"]["groups"]["why"]


@pytest.mark.parametrize("command", ["search", "train", "ablate"])
def test_a_thorough_run_searches_large_sets_too_and_its_recipe_does_so_again(command, capsys, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MAX_IMAGES_BY_DEFAULT", 19)
    assert run([*COMMANDS[command], "--dry-run"]) == 0
    assert ANNOUNCED not in capsys.readouterr().err
    assert run([*COMMANDS[command], "--thorough", "--dry-run"]) == 0
    assert ANNOUNCED in capsys.readouterr().err
    assert run([*COMMANDS[command], "--thorough", "--fast", "--dry-run"]) == 2
    assert "fast and thorough exclude each other; choose one of them" in capsys.readouterr().err
    if command == "search":
        assert run([*COMMANDS[command], "--thorough", "--out", "run", "--quiet"]) == 0
        assert Recipe.load("run/recipe.yaml").reading.thorough
        assert load_settings(Path("run")).reading.thorough
        capsys.readouterr()
        assert run(["train", "run/recipe.yaml", "--dry-run", "--json"]) == 0
        again = json.loads(capsys.readouterr().out)["data"]
        assert again["fingerprint"] == RunFolder.load("run").report["data"]["fingerprint"]


def test_the_time_of_a_search_begins_when_the_images_are_read(monkeypatch, capsys):
    """The clock of the test jumps by an hour while near duplicates are searched for."""
    find, late = preparation.find_groups, []

    def slow(*arguments, **options):
        late.append(3600)
        return find(*arguments, **options)

    monkeypatch.setattr(preparation, "find_groups", slow)
    replace_clocks(monkeypatch, lambda: time.monotonic() + sum(late))
    command = [
        "search",
        "--budget",
        "100kFLOPs",
        "--data",
        "clean",
        "--time",
        "600s",
        "--trials",
        "1",
        "--epochs",
        "1",
        "--workers",
        "1",
    ]
    assert run([*command, "--out", "run"]) == 0
    assert re.search(r"20 images were read in 360\d\.\d s, which --time does not include", capsys.readouterr().err)
    assert 0 < RunFolder.load("run").report["seconds"] < 600
