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


def test_randomisation_detects_a_method_that_ignores_the_network() -> None:
    explained = convolutional_network()
    reads = FakeMethod(gradient_times_input)
    ignores = FakeMethod(lambda explained, inputs, *_: controls.edges(explained, inputs))
    read, ignored = (checks_of(explained, method, image_of_signs())["randomisation"] for method in (reads, ignores))
    assert read["passed"] is True
    assert abs(read["value"]) < 0.5
    assert ignored["passed"] is False
    assert ignored["value"] == pytest.approx(1)


def test_randomisation_compares_magnitudes() -> None:
    """Randomised layers that only invert all signs of the map do not count as a change."""
    values, explained = np.random.default_rng(0).normal(size=(SIZE, SIZE)), convolutional_network()
    method = FakeMethod(lambda network, *_: values if network is explained else -values)
    checks = checks_of(explained, method, image_of_signs())
    assert checks["randomisation"]["passed"] is False


def test_a_map_that_becomes_constant_cannot_be_compared() -> None:
    explained = convolutional_network()
    method = FakeMethod(lambda network, inputs, *_: inputs[0, 0] * (network is explained))
    checks = checks_of(explained, method)
    assert checks["randomisation"]["passed"] is None
    assert "cannot be compared" in checks["randomisation"]["says"]


def stability(find: Callable[..., Any], explained: ExplainedNetwork | None = None) -> dict[str, Any]:
    """The check `stability` of a method on `patch_image`."""
    explained, method = explained or patch_network(), FakeMethod(find)
    checks = checks_of(explained, method)
    return checks["stability"]


def test_stability_of_methods_that_follow_the_image_or_are_random() -> None:
    stable = stability(lambda explained, inputs, *_: inputs[0, 0])
    assert stable["passed"] is True
    assert stable["value"] > 0.95
    assert 0.7 < stable["overlap"] < 1
    assert stable["images"] == stable["of"] == NOISY_IMAGES
    generator = np.random.default_rng(0)
    unstable = stability(lambda *_: generator.normal(size=(SIZE, SIZE)))
    assert unstable["passed"] is False
    assert abs(unstable["value"]) < 0.1
    assert unstable["overlap"] < 0.25


def test_stability_of_a_constant_method_is_not_comparable() -> None:
    check = stability(lambda *_: np.ones((SIZE, SIZE)))
    assert (check["value"], check["passed"]) == (None, None)
    assert "cannot be compared" in check["says"]


class Pedantic(nn.Module):
    """Predicts the second class for exactly one image."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Parameter(patch_image())

    def forward(self, x: Tensor) -> Tensor:
        return torch.where((x == self.only).flatten(1).all(dim=1), 1.0, -1.0)[:, None]


def test_stability_is_not_judged_where_the_prediction_changes() -> None:
    check = stability(lambda explained, inputs, *_: inputs[0, 0], ExplainedNetwork.bare(Pedantic(), 1, CLASSES))
    assert (check["value"], check["passed"], check["images"]) == (None, None, 0)
    assert "changes the prediction" in check["says"]


def test_noisy_images_are_kept_by_the_thresholded_prediction() -> None:
    """Noise moves a probability of 0.3 across a threshold of 0.3, but never across 0.5."""
    wide = ExplainedNetwork.bare(WeightedSum(np.full((SIZE, SIZE), 0.1), 0.85), 1, CLASSES)
    image = torch.zeros(1, 1, SIZE, SIZE)
    image[0, 0, 0, :2] = torch.tensor([-5.0, 5.0])
    counts = [_noisy_count(replace(wide, threshold=threshold), image) for threshold in (0.5, 0.3)]
    assert counts[0] == NOISY_IMAGES > counts[1]


def _noisy_count(explained: ExplainedNetwork, image: Tensor) -> int:
    count: int = checks_of(explained, FakeMethod(gradient_times_input), image)["stability"]["images"]
    return count


def test_a_rerun_uses_the_layer_that_the_method_chose() -> None:
    @dataclass(frozen=True)
    class Layered(FakeMethod):
        layer: str | None = None

        def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
            requested_layers.append(self.layer)
            return Attribution("fake", np.asarray(inputs[0, 0]), layer="stages.3")

    requested_layers: list[str | None] = []
    checks_of(convolutional_network(), Layered(gradient_times_input))
    assert requested_layers == [None, *["stages.3"] * (1 + NOISY_IMAGES)]


def test_seeds_of_lime() -> None:
    stable = FakeMethod(lambda explained, inputs, *_: inputs[0, 0], "lime")
    random = FakeMethod(lambda *arguments: np.random.default_rng(arguments[3]).normal(size=(SIZE, SIZE)), "lime")
    first, second = (checks_of(patch_network(), method, level="quick")["seeds"] for method in (stable, random))
    assert (first["passed"], first["value"], first["ranks"]) == (True, pytest.approx(1), pytest.approx(1))
    assert second["passed"] is False
    assert abs(second["value"]) < 0.1
    peak = FakeMethod(
        lambda *arguments: np.random.default_rng(arguments[3]).normal(0, 0.01, (SIZE, SIZE)) + PATCH, "lime"
    )
    third = checks_of(patch_network(), peak, level="quick")["seeds"]
    assert third["ranks"] < 0.5 < 0.99 < third["value"], "ranks of superpixels that hardly matter do not decide"
    assert third["passed"]
