"""Every shipped recipe: what it says at its top, the network it builds, and one step of training on random pixels."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from helpers.specs import RECIPES

from lightcnn import document
from lightcnn.baseline_spec import BaselineSpec, as_baseline
from lightcnn.baselines import build_network
from lightcnn.cost import cost
from lightcnn.data.preprocess import Preprocess
from lightcnn.engine.loop import fit
from lightcnn.recipe import PRESETS, Recipe
from lightcnn.spec import NetworkSpec

FILES = document.shipped("recipes")
MICROMPOXNET = ("micrompoxnet", "study1-parameter-transfer", "study2-augmented", "study3-multiclass")
every_recipe = pytest.mark.parametrize("name", sorted(RECIPES))


@cache
def recipe(name: str) -> Recipe:
    return Recipe.load(name)


def comments(name: str) -> list[str]:
    """The lines of the comment at the top, after the line for editors."""
    lines = FILES[name].read_text(encoding="utf-8").splitlines()[1:]
    return [line.lstrip("# ") for line in lines[: next(n for n, line in enumerate(lines) if line[0] != "#")]]


def test_these_are_all_recipes() -> None:
    assert set(FILES) == RECIPES
    assert len(RECIPES) == 6


@every_recipe
def test_a_recipe_says_how_it_is_run_where_it_is_from_and_what_comes_of_it(name: str) -> None:
    told = comments(name)
    assert recipe(name).name == name
    assert next(line for line in told if line) == f"lightcnn train {name}"
    for word in ("Source: ", "Time: ", "Hardware: ", "Result: "):
        assert len([line for line in told if line.startswith(word)]) == 1, word


@every_recipe
def test_a_recipe_is_built_and_takes_a_step(name: str) -> None:
    held = recipe(name)
    network = held.network
    model = build_network(network, held.seed, pretrained=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, *network.input), dtype=torch.uint8, generator=random)
    rule = Preprocess(
        size=network.input[1], channels=network.input[0], shorter_side=network.input[1],
        mean=(0.5,) * network.input[0], deviation=(0.25,) * network.input[0],
        classes=tuple(str(number) for number in range(network.classes)), **dict(held.preprocess),
    )  # fmt: skip
    one_step = held.training.model_copy(update={"epochs": 1})
    losses: list[Any] = []
    fit(
        model, images, torch.tensor([0, 1]), preprocess=rule, settings=one_step, augmentation=held.augment,
        seed=held.seed, on_epoch=losses.append,
    )  # fmt: skip
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert len(losses) == 1
    learned = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed & learned
    if getattr(network, "freeze", False):
        assert changed <= learned


@pytest.mark.parametrize("name", MICROMPOXNET)
def test_the_reconstruction_is_the_one_of_the_reference(name: str) -> None:
    network = recipe(name).network
    golden = NetworkSpec.load(FILES[name].parents[1] / "tests" / "golden" / "micrompoxnet.yaml")
    assert isinstance(network, NetworkSpec)
    if network.classes == 2:
        assert network == golden
    assert (network.input, network.stem, network.stages) == (golden.input, golden.stem, golden.stages)
    assert network.head.hidden == golden.head.hidden


def test_micrompoxnet_has_the_published_size() -> None:
    network = recipe("micrompoxnet").network
    assert isinstance(network, NetworkSpec)
    spent = cost(network)
    assert (spent.params, spent.params_with_buffers, spent.params_deployed) == (629_689, 632_889, 626_489)
    assert spent.macs == 458_293_280
    text = " ".join(comments("micrompoxnet"))
    assert "reconstruction" in text
    assert f"{spent.params:,}" in text and f"{spent.macs:,}" in text


def test_the_studies_differ_in_what_they_study() -> None:
    zero, one, two, three = (recipe(name) for name in sorted(RECIPES) if name.startswith("study"))
    assert isinstance(zero.network, BaselineSpec)
    assert zero.network.freeze and zero.network.weights == "timm" and zero.network.head == "paper"
    assert one.augment == PRESETS["none"]
    assert two.augment == PRESETS["paper"]
    assert two.model_copy(update={"name": one.name, "augment": one.augment}) == one
    assert (three.data, three.network.classes, three.network.logits) == ("mpox2022", 6, 6)
    assert {held.data for held in (zero, one, two, recipe("micrompoxnet"))} == {"mpox2025"}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_baseline_takes_the_place_of_a_recipes_network(name: str) -> None:
    held = recipe(name)
    data = held.model_dump(mode="json")
    data["network"] = as_baseline(data["network"], "efficientnet_b3")
    changed = Recipe.model_validate_json(json.dumps(data)).network
    assert isinstance(changed, BaselineSpec)
    assert changed.baseline == "efficientnet_b3"
    assert (changed.classes, changed.logits) == (held.network.classes, held.network.logits)
    assert changed.input == (held.network.input[0], 224, 224)
