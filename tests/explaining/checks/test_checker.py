"""All checks of one map: which level makes which, and what they need of the network."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from helpers.map_checks import (
    CLASSES,
    PATCH,
    FakeMethod,
    WeightedSum,
    checks_of,
    checks_of_map,
    convolutional_network,
    gradient_times_input,
    image_of_signs,
    patch_image,
    patch_network,
)
from torch import nn

from lightcnn.explaining.checks.catalogue import CHECKS
from lightcnn.explaining.checks.checker import RANDOM_ORDERS, STEPS, Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.catalogue import MethodOptions, make_method


def test_the_randomised_network_is_made_once() -> None:
    checker = Checker(convolutional_network(), level="full")
    assert checker.randomised_network(image_of_signs()) is checker.randomised_network(patch_image())


@pytest.mark.parametrize(
    ("level", "name", "mask", "expected"),
    [
        ("none", "lime", PATCH, []),
        ("quick", "fake", None, ["map", "deletion", "insertion"]),
        ("quick", "lime", PATCH, ["map", "deletion", "insertion", "fit", "seeds", "mask"]),
        ("full", "fake", PATCH, ["map", "deletion", "insertion", "randomisation", "stability", "mask"]),
        ("full", "lime", None, ["map", "deletion", "insertion", "fit", "seeds", "randomisation", "stability"]),
    ],
)
def test_every_level_has_its_checks(level: str, name: str, mask: Any, expected: list[str]) -> None:
    explained, method = patch_network(), FakeMethod(gradient_times_input, name)
    checks = checks_of(explained, method, level=level, mask=mask)
    assert list(checks) == expected
    assert set(checks) <= set(CHECKS)
    for check in checks.values():
        assert set(check) >= {"value", "passed", "rule", "says"}
        assert check["passed"] in (True, False, None)
        assert check["rule"]
    json.dumps(checks, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "more"),
    [("gradcam", set()), ("ig", {"completeness"}), ("lime", {"fit", "seeds"}), ("occlusion", set())],
)
def test_every_method_is_checked(name: str, more: set[str]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    explained = ExplainedNetwork.bare(model, 1, ("a", "b", "c"))
    checks = checks_of(explained, make_method(name, MethodOptions(samples=64)), target=2, mask=PATCH)
    assert set(checks) == {"map", "deletion", "insertion", "randomisation", "stability", "mask"} | more
    for check in more:
        assert checks[check]["value"] is not None, check
    json.dumps(checks, allow_nan=False)


def test_full_checks_use_more_steps() -> None:
    for level in ("quick", "full"):
        checks = checks_of_map(PATCH, level=level)
        lines = checks["deletion"]["curves"]
        assert checks["deletion"]["steps"] == STEPS[level]
        assert set(lines) == {"fractions", "map", "random", "centre", "edges"}
        assert {len(line) for line in lines.values()} == {STEPS[level] + 1}
    assert RANDOM_ORDERS["full"] > RANDOM_ORDERS["quick"]


def test_equal_seeds_give_equal_numbers_and_leave_the_random_state() -> None:
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    documents = []
    for seed in (3, 3, 4):
        explained, method = convolutional_network(), FakeMethod(gradient_times_input)
        documents.append(json.dumps(checks_of(explained, method, mask=PATCH, seed=seed)))
    assert documents[0] == documents[1] != documents[2]
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # type: ignore[index]


def test_the_network_never_reads_more_images_at_once_than_the_batch_size() -> None:
    areas = []
    for batch in (5, 64):
        explained, method = patch_network(batch), FakeMethod(gradient_times_input)
        checks = checks_of(explained, method)
        assert explained.model.largest == batch
        areas.append(checks["insertion"]["value"])
    assert areas[0] == pytest.approx(areas[1], abs=1e-6)


def test_an_image_of_one_pixel_is_checked() -> None:
    explained, method = (
        ExplainedNetwork.bare(WeightedSum(np.ones((1, 1))), 1, CLASSES),
        FakeMethod(gradient_times_input),
    )
    image = torch.ones(1, 1, 1, 1)
    checks = checks_of(explained, method, image)
    assert checks["map"]["warnings"] == ["constant"]
    json.dumps(checks, allow_nan=False)
