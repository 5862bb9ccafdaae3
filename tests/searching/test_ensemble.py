"""Second trainings learn from what the first ones predict, and a resumed search uses the same predictions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from lightcnn.cli.main import run
from lightcnn.searching import ensemble, final_phase
from lightcnn.searching.trainings import choice

pytestmark = pytest.mark.usefixtures("undrawn_charts")

STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
COMMAND = ["search", "--budget", "100kFLOPs", "--data", "digits", "--workers", "1", "--quiet"]
LIMITS = ["--trials", "2", "--epochs", "3"]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose two networks count as equal within noise, so that each is trained with a second seed."""
    folder = tmp_path_factory.mktemp("ensemble")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "STANDARD_ERRORS", 1e9)
        (folder / "space.yaml").write_text(f"size: [8]\nstem: {STAGE}\nstages: [{STAGE}]\n")
        assert run([*COMMAND, *LIMITS, "--space", str(folder / "space.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def finals(run_folder: Path) -> dict[str, dict[str, Any]]:
    """The progress of all final trainings, by the names of their files."""
    return {file.name: json.loads(file.read_text()) for file in sorted((run_folder / "trainings").glob("*final.json"))}


def test_second_trainings_alone_are_taught(search: Path) -> None:
    taught = {name: progress["taught"] for name, progress in finals(search).items()}
    assert taught == {
        "000000-final.json": False, "000000-second-final.json": True,
        "000001-final.json": False, "000001-second-final.json": True,
    }  # fmt: skip
    report = json.loads((search / "report.json").read_text())
    assert report["comparison"]["second_taught"] is True and "teacher" not in report


def test_the_predictions_are_probabilities_of_the_training_images(search: Path) -> None:
    with safe_open(search / "ensemble.safetensors", framework="np") as file:
        facts = json.loads(file.metadata()["teacher"])
        indices, table = file.get_tensor("indices"), file.get_tensor("probabilities")
    assert facts["note"].startswith("the mean of trials ")
    assert len(np.unique(indices)) == len(indices) == len(table)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)


def test_the_recipe_names_the_predictions_only_if_the_delivered_training_is_taught(search: Path) -> None:
    recipe = yaml.safe_load((search / "recipe.yaml").read_text())
    seeds = {progress["seed"]: progress["taught"] for progress in finals(search).values()}
    expected = "ensemble.safetensors" if seeds[recipe["seed"]] else None
    assert (recipe.get("distill") or {}).get("teacher") == expected


def resumed(search: Path, out: Path, patch: pytest.MonkeyPatch) -> Path:
    """A copy of the search that was killed in its second trainings, continued."""
    shutil.copytree(search, out)
    for file in [out / "report.json", *(out / "trainings").glob("*-second-*")]:
        file.unlink()
    patch.setattr(choice, "STANDARD_ERRORS", 1e9)
    assert run(["search", "--resume", "--out", str(out), "--quiet"]) == 0
    return out


def test_a_resumed_search_learns_from_the_same_predictions(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(*arguments: object) -> None:
        raise AssertionError("they are in the run folder")

    monkeypatch.setattr(final_phase, "mean_predictions", predict)
    again = resumed(search, tmp_path / "again", monkeypatch)
    first, second = (load_file(folder / "weights.safetensors") for folder in (search, again))
    assert all((first[name] == second[name]).all() for name in first)


def test_predictions_that_are_missing_are_computed_again_to_the_same_numbers(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (search / "ensemble.safetensors").read_bytes()
    shutil.copytree(search, tmp_path / "copy")
    (tmp_path / "copy" / "ensemble.safetensors").unlink()
    again = resumed(tmp_path / "copy", tmp_path / "again", monkeypatch)
    with safe_open(again / "ensemble.safetensors", framework="np") as file:
        probabilities = file.get_tensor("probabilities")
    assert probabilities.tobytes() in content


def test_damaged_predictions_are_named_with_the_remedy(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(search, tmp_path / "damaged")
    (tmp_path / "damaged" / "report.json").unlink()
    (tmp_path / "damaged" / "ensemble.safetensors").write_bytes(b"nothing")
    assert run(["search", "--resume", "--out", str(tmp_path / "damaged"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "ensemble.safetensors: not the predictions of a teacher" in error and error.count("\n") == 1


def weights(*of_first_class: float) -> Any:
    """Weights that predict the first of two classes with these probabilities."""
    first = np.array(of_first_class)
    return SimpleNamespace(probabilities=np.stack([first, 1 - first], axis=1))


def pipeline(labels: Sequence[int]) -> Any:
    """A pipeline whose images are all in the validation set."""
    known = np.array(labels)
    return SimpleNamespace(dataset=SimpleNamespace(labels=known), split=SimpleNamespace(val=np.arange(len(known))))


def test_the_mean_is_over_the_best_networks_that_predict_best_together() -> None:
    good, other, bad = weights(0.9, 0.6, 0.2), weights(0.6, 0.9, 0.2), weights(0.1, 0.1, 0.9)
    images = pipeline([0, 0, 1])
    assert ensemble.best_members([good, other, bad], images) == [good, other]
    assert ensemble.best_members([good, bad], images) == [good]
    assert ensemble.best_members([good], images) == [good]


def test_predictions_that_would_be_too_large_are_left_out() -> None:
    assert ensemble.distillation(50_000, 1_000) is not None
    assert ensemble.distillation(50_001, 1_000) is None
