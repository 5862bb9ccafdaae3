"""Every shipped recipe: its comment, the network that it builds, and one training step on random pixels."""

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
from lightcnn.errors import InputError
from lightcnn.recipe import PRESETS, Optimisation, Recipe
from lightcnn.spec import NetworkSpec

FILES = document.shipped("recipes")
MICROMPOXNET = ("micrompoxnet", "study1-parameter-transfer", "study2-augmented", "study3-multiclass")
every_recipe = pytest.mark.parametrize("name", sorted(RECIPES))


@cache
def recipe(name: str) -> Recipe:
    return Recipe.load(name)


def comments(name: str) -> list[str]:
    """The lines of the comment at the top, without the line for editors."""
    lines = FILES[name].read_text(encoding="utf-8").splitlines()[1:]
    return [line.lstrip("# ") for line in lines[: next(n for n, line in enumerate(lines) if line[0] != "#")]]


def test_all_shipped_recipes_are_tested() -> None:
    assert set(FILES) == RECIPES
    assert len(RECIPES) == 7


@every_recipe
def test_the_comment_of_a_recipe_has_its_command_source_time_and_result(name: str) -> None:
    lines = comments(name)
    assert recipe(name).name == name
    assert next(line for line in lines if line) == f"lightcnn train {name}"
    for word in ("Source: ", "Time: ", "Hardware: ", "Result: "):
        assert len([line for line in lines if line.startswith(word)]) == 1, word


@every_recipe
def test_a_recipe_can_be_built_and_trained(name: str) -> None:
    loaded = recipe(name)
    network = loaded.network
    model = build_network(network, loaded.seed, pretrained=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, *network.input), dtype=torch.uint8, generator=random)
    preprocess = Preprocess(
        size=network.input[1], channels=network.input[0], shorter_side=network.input[1],
        mean=(0.5,) * network.input[0], deviation=(0.25,) * network.input[0],
        classes=tuple(str(number) for number in range(network.classes)), **dict(loaded.preprocess),
    )  # fmt: skip
    one_step = loaded.training.model_copy(update={"epochs": 1})
    losses: list[Any] = []
    fit(
        model, images, torch.tensor([0, 1]), preprocess=preprocess, settings=one_step, augmentation=loaded.augment,
        seed=loaded.seed, on_epoch=losses.append,
    )  # fmt: skip
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert len(losses) == 1
    learned = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed & learned
    if getattr(network, "freeze", False):
        assert changed <= learned


@pytest.mark.parametrize("name", MICROMPOXNET)
def test_the_reconstruction_equals_the_reference(name: str) -> None:
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


def test_finetune_trains_all_of_a_pretrained_network_with_a_new_classifier() -> None:
    network = recipe("finetune").network
    assert isinstance(network, BaselineSpec)
    assert (network.weights, network.head, network.freeze) == ("timm", "own", False)
    assert recipe("finetune").training.keep == "last"  # few validation images choose no epoch


def test_the_studies_differ_in_what_they_study() -> None:
    study0, study1, study2, study3 = (recipe(name) for name in sorted(RECIPES) if name.startswith("study"))
    assert isinstance(study0.network, BaselineSpec)
    assert study0.network.freeze and study0.network.weights == "timm" and study0.network.head == "paper"
    assert study1.augment == PRESETS["none"]
    assert study2.augment == PRESETS["paper"]
    assert study2.model_copy(update={"name": study1.name, "augment": study1.augment}) == study1
    assert (study3.data, study3.network.classes, study3.network.logits) == ("mpox2022", 6, 6)
    assert {study.data for study in (study0, study1, study2, recipe("micrompoxnet"))} == {"mpox2025"}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_baseline_replaces_the_network_of_a_recipe(name: str) -> None:
    loaded = recipe(name)
    data = loaded.model_dump(mode="json")
    data["network"] = as_baseline(data["network"], "efficientnet_b3")
    changed = Recipe.model_validate_json(json.dumps(data)).network
    assert isinstance(changed, BaselineSpec)
    assert changed.baseline == "efficientnet_b3"
    assert (changed.classes, changed.logits) == (loaded.network.classes, loaded.network.logits)
    assert changed.input == (loaded.network.input[0], 224, 224)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_steps": 9}, "warmup_steps: has no effect with the schedule one-cycle"),
        ({"decay_steps": 9, "schedule": "cosine"}, "decay_steps: has no effect with the schedule cosine"),
    ],
)
def test_steps_that_a_schedule_would_ignore_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        document.make(Optimisation, changes, "training")
    assert Optimisation(warmup_steps=9, decay_steps=9, schedule="warmup-stable-decay").decay_steps == 9
