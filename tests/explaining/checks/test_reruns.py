"""Methods that run again: with another seed, on a randomised network, and on noisy images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.map_checks import (
    CLASSES,
    PATCH,
    SIZE,
    FakeMethod,
    WeightedSum,
    checks_of,
    convolutional_network,
    gradient_times_input,
    image_of_signs,
    patch_image,
    patch_network,
)
from torch import Tensor, nn

from lightcnn.explaining.checks import controls
from lightcnn.explaining.checks.reruns import NOISY_IMAGES
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution


def test_randomisation_tells_a_method_that_reads_the_network_from_one_that_does_not() -> None:
    explained = convolutional_network()
    reads = FakeMethod(gradient_times_input)
    ignores = FakeMethod(lambda explained, inputs, *_: controls.edges(explained, inputs))
    read, ignored = (checks_of(explained, way, image_of_signs())["randomisation"] for way in (reads, ignores))
    assert read["passed"] is True
    assert abs(read["value"]) < 0.5
    assert ignored["passed"] is False
    assert ignored["value"] == pytest.approx(1)


def test_randomisation_compares_magnitudes() -> None:
    """A redrawn top that turns every sign round and leaves the picture is no change."""
    found, explained = np.random.default_rng(0).normal(size=(SIZE, SIZE)), convolutional_network()
    way = FakeMethod(lambda network, *_: found if network is explained else -found)
    checks = checks_of(explained, way, image_of_signs())
    assert checks["randomisation"]["passed"] is False


def test_a_map_that_becomes_constant_cannot_be_compared() -> None:
    explained = convolutional_network()
    way = FakeMethod(lambda network, inputs, *_: inputs[0, 0] * (network is explained))
    checks = checks_of(explained, way)
    assert checks["randomisation"]["passed"] is None
    assert "cannot be compared" in checks["randomisation"]["says"]


def stability(find: Callable[..., Any], explained: ExplainedNetwork | None = None) -> dict[str, Any]:
    """That check of a method on `patch_image`."""
    explained, way = explained or patch_network(), FakeMethod(find)
    checks = checks_of(explained, way)
    return checks["stability"]


def test_stability_of_methods_that_follow_the_image_or_throw_dice() -> None:
    steady = stability(lambda explained, inputs, *_: inputs[0, 0])
    assert steady["passed"] is True
    assert steady["value"] > 0.95
    assert 0.7 < steady["overlap"] < 1
    assert steady["images"] == steady["of"] == NOISY_IMAGES
    dice = np.random.default_rng(0)
    erratic = stability(lambda *_: dice.normal(size=(SIZE, SIZE)))
    assert erratic["passed"] is False
    assert abs(erratic["value"]) < 0.1
    assert erratic["overlap"] < 0.25


def test_stability_of_a_constant_method_is_not_comparable() -> None:
    found = stability(lambda *_: np.ones((SIZE, SIZE)))
    assert (found["value"], found["passed"]) == (None, None)
    assert "cannot be compared" in found["says"]


class Pedantic(nn.Module):
    """The second class is one image alone, to the last digit."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Parameter(patch_image())

    def forward(self, x: Tensor) -> Tensor:
        return torch.where((x == self.only).flatten(1).all(dim=1), 1.0, -1.0)[:, None]


def test_stability_is_not_judged_where_the_prediction_changes() -> None:
    found = stability(lambda explained, inputs, *_: inputs[0, 0], ExplainedNetwork.bare(Pedantic(), 1, CLASSES))
    assert (found["value"], found["passed"], found["images"]) == (None, None, 0)
    assert "changes the prediction" in found["says"]


def test_the_prediction_that_noise_leaves_is_that_of_the_threshold() -> None:
    """A probability of 0.3 moves round a threshold of 0.3, and never round 0.5."""
    wide = ExplainedNetwork.bare(WeightedSum(np.full((SIZE, SIZE), 0.1), 0.85), 1, CLASSES)
    image = torch.zeros(1, 1, SIZE, SIZE)
    image[0, 0, 0, :2] = torch.tensor([-5.0, 5.0])
    told = [_images(replace(wide, threshold=threshold), image) for threshold in (0.5, 0.3)]
    assert told[0] == NOISY_IMAGES > told[1]


def _images(explained: ExplainedNetwork, image: Tensor) -> int:
    found: int = checks_of(explained, FakeMethod(gradient_times_input), image)["stability"]["images"]
    return found


def test_a_method_is_held_to_the_layer_that_it_chose() -> None:
    @dataclass(frozen=True)
    class Layered(FakeMethod):
        layer: str | None = None

        def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
            asked.append(self.layer)
            return Attribution("fake", np.asarray(inputs[0, 0]), layer="stages.3")

    asked: list[str | None] = []
    checks_of(convolutional_network(), Layered(gradient_times_input))
    assert asked == [None, *["stages.3"] * (1 + NOISY_IMAGES)]


def test_seeds_of_lime() -> None:
    steady = FakeMethod(lambda explained, inputs, *_: inputs[0, 0], "lime")
    erratic = FakeMethod(lambda *of: np.random.default_rng(of[3]).normal(size=(SIZE, SIZE)), "lime")
    one, other = (checks_of(patch_network(), way, level="quick")["seeds"] for way in (steady, erratic))
    assert (one["passed"], one["value"], one["ranks"]) == (True, pytest.approx(1), pytest.approx(1))
    assert other["passed"] is False
    assert abs(other["value"]) < 0.1
    peak = FakeMethod(lambda *of: np.random.default_rng(of[3]).normal(0, 0.01, (SIZE, SIZE)) + PATCH, "lime")
    third = checks_of(patch_network(), peak, level="quick")["seeds"]
    assert third["ranks"] < 0.5 < 0.99 < third["value"], "ranks of what hardly matters do not decide"
    assert third["passed"]
