"""The presets of augmentation, and augmentations in recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.augmentations import NONE, random_images

from lightcnn.cli.catalogue import check_file
from lightcnn.data.augmentation.augment import augment
from lightcnn.recipe import PRESETS, Augment, Recipe


def test_the_presets_have_the_documented_operations():
    assert list(PRESETS) == ["none", "light", "keras", "imgaug", "paper"]
    assert not (NONE.warps or NONE.filters or NONE.mixes or NONE.shift or NONE.flip)
    assert PRESETS["light"] == Augment(flip=True)
    operations = {name: value for name, value in PRESETS["imgaug"] if value != getattr(NONE, name)}
    assert PRESETS["paper"] == PRESETS["keras"].model_copy(update=operations)
    active = {name for name, value in PRESETS["keras"] if value and name not in ("warped", "filtered")}
    assert active == {"rotate", "shift", "shear", "flip"}
    active = {name for name, value in PRESETS["imgaug"] if value and name not in ("warped", "filtered")}
    assert active == {"sharpen", "brightness", "contrast", "blur", "noise"}
    images = random_images(20)
    for name, preset in PRESETS.items():
        assert torch.equal(augment(images, preset, 0, 0, np.arange(20)), images.float()) == (name == "none")


def test_the_schema_lists_the_presets():
    schema = Recipe.model_json_schema()["properties"]["augment"]
    (names,) = [part["enum"] for part in schema["anyOf"] if "enum" in part]
    assert names == list(PRESETS)


RECIPE = "data: digits\naugment: {}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], classes: 10}}\n"


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_may_name_a_preset_and_is_saved_with_its_values(name, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(name), encoding="utf-8")
    assert check_file(file) == {"file": str(file), "kind": "recipe", "errors": []}
    recipe = Recipe.load(file)
    assert recipe.augment == PRESETS[name]
    recipe.save(tmp_path / "resolved.yaml")
    text = (tmp_path / "resolved.yaml").read_text(encoding="utf-8")
    assert all(f"{field}: " in text for field in Augment.model_fields)
    assert Recipe.load(tmp_path / "resolved.yaml") == recipe


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("papr", "augment: 'papr' is not one of none, light, keras, imgaug, paper; did you mean 'paper'?"),
        ("strong", "augment: 'strong' is not one of none, light, keras, imgaug, paper"),
        ("3", "augment: must be a mapping of keys to values, not 3"),
        ("{rotat: 3}", "augment.rotat: unknown key 'rotat' (value 3); did you mean 'rotate'?"),
        ("{blur: 11}", "augment.blur: input should be less than or equal to 10, not 11"),
        ("{flip: 1}", "augment.flip: input should be a valid boolean, not 1"),
        ("{noise: -0.1}", "augment.noise: input should be greater than or equal to 0, not -0.1"),
    ],
)
def test_a_faulty_augmentation_is_one_clear_error(given, message, tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(given), encoding="utf-8")
    assert check_file(file)["errors"] == [f"{file}:2: {message}"]
