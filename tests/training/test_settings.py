"""The settings of a training: train.yaml in new run folders, and runs of earlier versions without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.training_runs import outcome, rows, write_digits_recipe

import lightcnn
from lightcnn import document
from lightcnn.cli.main import run
from lightcnn.errors import InputError
from lightcnn.overrides import parse_assignment
from lightcnn.recipe import Recipe
from lightcnn.training.recipe_argument import RecipeDraft, read_recipe_argument
from lightcnn.training.settings import TrainSettings, make_settings

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    return write_digits_recipe(tmp_path_factory.mktemp("digits"))


def test_a_run_folder_keeps_what_was_asked_for(recipe):
    command = ["train", recipe, "--folds", "2", "--seeds", "1", "--epochs", "1", "--device", "cpu", "--quiet"]
    assert run([*command, "--out", "folds"]) == 0
    settings = document.load(TrainSettings, "folds/train.yaml")
    assert settings.recipe == read_recipe_argument(recipe, [parse_assignment("training.epochs=1")]).recipe
    assert (settings.folds, settings.seeds, settings.device, settings.bare) == (2, 1, "cpu", False)
    assert not Path("folds/parts/seed-0-fold-1/train.yaml").exists(), "a part is repeated by its recipe.yaml"


def test_the_settings_of_a_network_alone_keep_its_overrides(recipe):
    document.save(Recipe.load(recipe).network, "spec.yaml")
    draft = read_recipe_argument("spec.yaml", [parse_assignment("data=digits"), parse_assignment("training.epochs=3")])
    settings = make_settings(draft, device="cpu")
    Path("train.yaml").write_bytes(settings.file("a comment")["train.yaml"])
    loaded = document.load(TrainSettings, "train.yaml")
    assert loaded == settings
    assert loaded.bare
    assert loaded.draft == draft
    assert loaded.draft.resolved("digits", 1, 1000) == draft.resolved("digits", 1, 1000)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"device": "tpu"}, "train: device: 'tpu' is not one of auto, cpu"), ({"folds": "5"}, "train: folds: input")],
)
def test_invalid_settings_are_an_error_of_one_line(values, message, recipe):
    with pytest.raises(InputError, match=message) as error:
        make_settings(RecipeDraft(Recipe.load(recipe)), **values)
    assert "\n" not in str(error.value)


def test_a_run_without_settings_loads_predicts_and_resumes(recipe, monkeypatch):
    assert run(["train", recipe, "--epochs", "2", "--out", "new", "--quiet"]) == 0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lightcnn.training.session.write_report", _interrupt)
        lightcnn.train(_of_two_epochs(recipe), out="old")
    Path("old/train.yaml").unlink()
    assert run(["train", "--resume", "--out", "old", "--quiet"]) == 0
    assert outcome(Path("old")) == outcome(Path("new"))
    assert not Path("old/train.yaml").exists()
    classes = json.loads(Path("old/report.json").read_text())["data"]["classes"]
    with np.load(Recipe.load(recipe).data) as arrays:
        images = arrays["train_images"]
    row = rows(Path("old"), "predictions.csv")[0]
    predicted = lightcnn.Run.load("old").predict([images[int(row["path"].rpartition("#")[2].rpartition("/")[2])]])
    np.testing.assert_allclose(predicted.probabilities[0], [float(row[f"p_{name}"]) for name in classes], atol=1e-6)


def _interrupt(*_):
    raise KeyboardInterrupt


def _of_two_epochs(recipe):
    return read_recipe_argument(recipe, [parse_assignment("training.epochs=2")]).recipe
