"""`lightcnn check` on every file that lightcnn writes, and on files that are no documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.paths import ROOT

from lightcnn import document
from lightcnn.ablating.plan import make_plan
from lightcnn.ablating.settings import make_settings as ablate_settings
from lightcnn.auditing.settings import AuditSettings
from lightcnn.cli.catalogue import CHECKED_KINDS, check_file
from lightcnn.cli.main import run
from lightcnn.comparing.settings import CompareSettings
from lightcnn.recipe import Recipe
from lightcnn.searching.plan import make_plan as make_search_plan
from lightcnn.searching.settings import make_settings as search_settings
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec
from lightcnn.training.recipe_argument import RecipeDraft
from lightcnn.training.settings import make_settings as train_settings

RECIPE = Recipe.load("quick")
SEARCH = {"budget": "1MFLOPs", "data": "digits", "space": SearchSpace.load("micro")}
WRITTEN = {
    "spec": RECIPE.network,
    "space": SEARCH["space"],
    "recipe": RECIPE,
    "settings of a search": search_settings(SEARCH),
    "plan of a search": make_search_plan(
        fingerprint="0" * 64, images=9, workers=2, finalists=2, limit=9.0, epochs=None
    ),
    "settings of a training": train_settings(RecipeDraft(RECIPE), folds=3),
    "settings of an ablation": ablate_settings(RecipeDraft(RECIPE), ["hyperparameters"]),
    "plan of an ablation": make_plan(RECIPE, ["augmentation"]),
    "settings of a comparison": CompareSettings(runs=("runs/a", "runs/b")),
    "settings of an audit": AuditSettings(source="digits"),
}


def test_every_kind_of_document_is_written_here_except_two() -> None:
    assert CHECKED_KINDS.keys() - WRITTEN.keys() == {"baseline", "changes"}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("exclude_defaults", [False, True])
def test_what_lightcnn_writes_is_valid(kind: str, exclude_defaults: bool, tmp_path: Path) -> None:
    file = tmp_path / "written.yaml"
    file.write_text(document.dump(WRITTEN[kind], "a comment", exclude_defaults), encoding="utf-8")
    assert check_file(file) == {"file": str(file), "kind": kind, "errors": []}
    file.write_text(WRITTEN[kind].model_dump_json(indent=1), encoding="utf-8")
    assert check_file(file) == {"file": str(file), "kind": kind, "errors": []}


def test_a_wrong_value_of_written_settings_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    text = document.dump(WRITTEN["settings of a search"], exclude_defaults=False)
    file.write_text(text.replace("strategy: surrogate", "strategy: evolutoin"), encoding="utf-8")
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.startswith("strategy"))
    (error,) = check_file(file)["errors"]
    assert error.startswith(f"{file}:{line}: strategy: 'evolutoin' is not one of ")
    assert error.endswith("; did you mean 'evolution'?")


@pytest.mark.parametrize(
    "keys",
    [
        ["lightcnn", "command", "seed", "data", "network", "budget", "space", "strategy"],  # report.json
        ["source", "stand_in", "fingerprint", "classes", "counts", "groups", "groups_shared", "warnings"],  # data.json
        ["resize", "size", "mean", "deviation", "classes", "scale", "unlikeness", "temperature", "threshold"],
    ],
)
def test_a_file_that_is_no_document_has_one_error(
    keys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps(dict.fromkeys(keys, 1)), encoding="utf-8")
    assert run(["check", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}: few of its keys belong to a spec, space, recipe, baseline, changes; give a YAML")


def test_settings_are_named_in_english(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "changes.yaml").write_text("changes: {a: {training.epochs: 3}}", encoding="utf-8")
    (tmp_path / "audit.yaml").write_text("source: digits\nfast: true\n", encoding="utf-8")
    assert run(["check", *(str(tmp_path / name) for name in ("changes.yaml", "audit.yaml"))]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path / 'changes.yaml'}: valid changes\n{tmp_path / 'audit.yaml'}: valid settings of an audit\n"
    )
    assert run(["check", str(ROOT / "recipes" / "quick.yaml")]) == 0
    assert capsys.readouterr().out.endswith("quick.yaml: a valid recipe\n")
    assert isinstance(RECIPE.network, NetworkSpec)
