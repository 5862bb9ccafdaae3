"""From the RECIPE argument and `--set` to a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.training_runs import write_digits_recipe

import lightcnn
from lightcnn.errors import InputError
from lightcnn.overrides import Override, parse_assignment
from lightcnn.recipe import Distillation, Recipe
from lightcnn.recipe_defaults import fitted_batch
from lightcnn.training.recipe_argument import differences, read_recipe_argument

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    return write_digits_recipe(tmp_path_factory.mktemp("digits"))


def test_set_changes_presets_and_items_of_lists(recipe):
    weights = "training.class_weights={o: 1, i: 2, z: 1}"
    changes = [
        parse_assignment("augment=light"),
        parse_assignment("network.stages.0.width=8"),
        parse_assignment(weights),
    ]
    changed = read_recipe_argument(recipe, changes).recipe
    assert (changed.augment.flip, changed.network.stages[0].width) == (True, 8)
    assert changed.training.class_weights == {"o": 1, "i": 2, "z": 1}
    Path("preset.yaml").write_text(Path(recipe).read_text() + "augment: paper\n")
    changed = read_recipe_argument("preset.yaml", [parse_assignment("augment.noise=0.1")]).recipe
    assert (changed.augment.noise, changed.augment.rotate) == (0.1, 20.0)
    assert differences(
        read_recipe_argument(recipe).recipe, read_recipe_argument(recipe, [parse_assignment("seed=3")]).recipe
    ) == ["seed: 0 in the run, 3 given"]


def test_a_network_alone_gets_the_defaults_for_its_data(recipe):
    Recipe.load(recipe).network.save("spec.yaml")
    plain = read_recipe_argument("spec.yaml", [change("data", "digits")])
    resolved = plain.resolved("digits", 3, 10_000)
    assert (resolved.training.epochs, resolved.training.label_smoothing, resolved.augment.flip) == (60, 0.1, True)
    fewer = read_recipe_argument("spec.yaml", [change("data", "digits"), change("training.epochs", 3)])
    assert fewer.resolved("digits", 1, 20).training.epochs == 3
    assert fewer.resolved("digits", 1, 20).training.batch == 8


def change(path, value):
    return Override(f"--set {path}", tuple(path.split(".")), value)


@pytest.mark.parametrize(
    ("batch", "images", "fitted"),
    [(128, 1221, 128), (64, 256, 64), (64, 255, 32), (128, 100, 16), (128, 32, 8), (128, 9, 8), (64, 5, 5), (4, 99, 4)],
)
def test_a_default_batch_leaves_four_steps_of_an_epoch(batch, images, fitted):
    assert fitted_batch(batch, images) == fitted


def test_a_batch_follows_the_data_unless_the_user_has_written_it(recipe):
    text = Path(recipe).read_text()
    Path("default.yaml").write_text(text.replace("batch: 16, ", ""))
    Path("own.yaml").write_text(text.replace("batch: 16", "batch: 64"))

    def batch(file, images, *changes):
        return read_recipe_argument(file, changes).resolved("other", 1, images, classes=3).training.batch

    data = change("data", "other")
    assert [batch("default.yaml", images) for images in (1_000, 100, 40)] == [128, 16, 8]
    assert [batch(file, 100, data) for file in ("default.yaml", "quick", "own.yaml")] == [16, 16, 64]
    assert batch("quick", 1_221) == 64, "the digits, for which it was made"
    assert batch("quick", 100, data, change("training.batch", 64)) == 64


def test_a_run_folder_and_a_baseline_are_recipes(recipe):
    lightcnn.train(recipe, out="run")
    assert read_recipe_argument("run").recipe == Recipe.load("run/recipe.yaml")
    Path("empty").mkdir()
    with pytest.raises(InputError, match="run empty: not a run folder"):
        read_recipe_argument("empty")
    draft = read_recipe_argument("mobilenetv2", [change("data", "digits")])
    resolved = draft.resolved("digits", 1, 1_000, classes=10)
    assert (resolved.network.name, resolved.network.classes, resolved.network.input) == (
        "mobilenetv2",
        10,
        (1, 224, 224),
    )
    assert read_recipe_argument("timm:test_vit", [change("data", "digits")]).recipe.network.timm == "test_vit"
    with pytest.raises(InputError, match="mobilenetv2: a network without data"):
        read_recipe_argument("mobilenetv2")


def test_predictions_beside_a_recipe_are_found_from_anywhere_unless_a_change_names_a_teacher(recipe, tmp_path):
    (tmp_path / "run").mkdir()
    taught = {"distill": Distillation(teacher="ensemble.safetensors")}
    Recipe.load(recipe).model_copy(update=taught).save("run/recipe.yaml")
    assert Recipe.load("run/recipe.yaml").distill.teacher == "ensemble.safetensors"
    Path("run/ensemble.safetensors").write_bytes(b"")
    Path("ensemble.safetensors").write_bytes(b"")
    warmer = read_recipe_argument("run/recipe.yaml", [change("distill.temperature", 2.0)])
    for read in (Recipe.load("run/recipe.yaml"), read_recipe_argument("run/recipe.yaml").recipe, warmer.recipe):
        assert read.distill.teacher == str(tmp_path / "run" / "ensemble.safetensors")
    changed = read_recipe_argument("run/recipe.yaml", [change("distill.teacher", "ensemble.safetensors")])
    assert changed.recipe.distill.teacher == "ensemble.safetensors"
    assert read_recipe_argument("run/recipe.yaml", [change("distill", None)]).recipe.distill is None


def test_classes_and_channels_follow_the_data_unless_set(recipe):
    kept = read_recipe_argument(recipe).resolved("other", 3, 100, classes=5)
    assert (kept.network.classes, kept.network.input[0]) == (3, 1), "the file names network and data"
    draft = read_recipe_argument(recipe, [change("data", "other"), change("network.classes", 4)])
    assert draft.follows == ("channels", "positive")
    resolved = draft.resolved("other", 3, 100, classes=5)
    assert (resolved.network.classes, resolved.network.input) == (4, (3, 8, 8))
    sigmoid = read_recipe_argument("micrompoxnet", [change("data", "other")]).resolved("other", 1, 100, classes=5)
    assert (sigmoid.network.classes, sigmoid.network.input[0], sigmoid.network.logits) == (5, 1, 5)
