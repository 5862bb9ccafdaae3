"""What `--help` and a wrong choice print, for every command."""

from __future__ import annotations

import re

import pytest
from helpers.paths import ROOT

from lightcnn.cli.main import COMMANDS, run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_what_is_expected_in_place_of_types(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--json" in printed and "--help" in printed
    assert not re.findall(r"<(?:bool|str|int|float|path)>", printed.lower())


def test_the_help_of_train_and_the_readme_name_the_recipe_with_pretrained_weights(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run(["train", "--help"]) == 0
    assert "finetune starts from pretrained weights" in capsys.readouterr().out
    assert "`lightcnn train finetune --data " in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("search --strategy evolutoin", "'evolutoin' is not one of surrogate, .*; did you mean 'evolution'?"),
        ("search --device cud", "'cud' is not one of auto, cpu, cuda, mps; did you mean 'cuda'?"),
        ("search --budget 1MFLOPs --space mikro", "mikro: no such file and no shipped .*; did you mean 'micro'?"),
        ("train quick --device cpuu", "'cpuu' is not one of auto, cpu, cuda, mps; did you mean 'cpu'?"),
        ("compare a b --metric acuracy", "'acuracy' is not one of accuracy, .*; did you mean 'accuracy'?"),
        ("profile quick --format tabel", "'tabel' is not one of table, .*; did you mean 'table'?"),
        ("profile quick --columns mac", "--columns: 'mac' is not one of .*; did you mean 'macs'?"),
        ("profile quick --sort=-mac", "--sort: 'mac' is not one of .*; did you mean 'macs'?"),
        ("explain a b --checks ful", "'ful' is not one of .*; did you mean 'full'?"),
        ("explain a b --baseline blak", "'blak' is not one of .*; did you mean 'black'?"),
        ("audit digits --augment ligth", "audit: augment: 'ligth' is not one of none, .*; did you mean 'light'?"),
        ("list recipe", "'recipe' is not one of recipes, .*; did you mean 'recipes'?"),
    ],
)
def test_a_wrong_choice_is_one_line_with_the_nearest_one(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(message.replace("?", "\\?"), error), error
