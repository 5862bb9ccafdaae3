"""Deletion and insertion: curves computed by hand, and maps that beat the controls or lose."""

from __future__ import annotations

import math
from itertools import pairwise

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
    checks_of_map,
    gradient_times_input,
    patch_image,
    patch_network,
)
from numpy.typing import NDArray

from lightcnn.errors import LightcnnError
from lightcnn.explaining.checks import controls
from lightcnn.explaining.checks.deletion_insertion import START_BLUR, Curves, area
from lightcnn.explaining.checks.ranks import pixel_ranks
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.blur import blurred


def test_the_true_map_beats_every_control_and_its_inverse_loses() -> None:
    right, wrong = checks_of_map(PATCH), checks_of_map(-1.0 * PATCH)
    for name in ("deletion", "insertion"):
        assert right[name]["passed"] is True
        assert right[name]["margin"] > 0.05
        assert wrong[name]["passed"] is False
        assert wrong[name]["margin"] < -0.1
        assert set(right[name]["controls"]) == {"random", "centre", "edges"}
    areas = right["deletion"]["controls"].values()
    assert right["deletion"]["margin"] == pytest.approx(min(areas) - right["deletion"]["value"])
    areas = right["insertion"]["controls"].values()
    assert right["insertion"]["margin"] == pytest.approx(right["insertion"]["value"] - max(areas))


def test_deletion_by_hand() -> None:
    weights = np.array([[1.0, 2.0], [4.0, 8.0]])
    curves = Curves(ExplainedNetwork.bare(WeightedSum(weights, 7), 1, CLASSES), torch.ones(1, 1, 2, 2), 1, 4, 1, 0)
    line = curves.compute("deletion", [weights])[0]
    expected = [1 / (1 + math.exp(-logit)) for logit in (15 - 7, 7 - 7, 3 - 7, 1 - 7, 0 - 7)]
    assert line == pytest.approx(expected, abs=1e-6)
    by_hand = sum((left + right) / 2 for left, right in pairwise(expected)) / 4
    assert area(line, curves.fractions) == pytest.approx(by_hand)
    inverse = [1 / (1 + math.exp(-logit)) for logit in (15 - 7, 14 - 7, 12 - 7, 8 - 7, 0 - 7)]
    assert curves.compute("deletion", [-weights])[0] == pytest.approx(inverse, abs=1e-6)
    assert curves.compute("deletion", [weights])[0] == pytest.approx(1 - _of_first_class(curves, weights))


def _of_first_class(curves: Curves, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return Curves(curves.explained, curves.inputs, 0, 4, 1, 0).compute("deletion", [weights])[0]


def test_insertion_starts_with_the_blurred_image_and_ends_with_the_image() -> None:
    explained, image = patch_network(), patch_image()
    line = Curves(explained, image, 1, 16, 1, 0).compute("insertion", [PATCH.astype(float)])[0]
    soft = torch.from_numpy(blurred(image.numpy(), START_BLUR * SIZE))
    shown = torch.where(torch.from_numpy(PATCH), image, soft)
    assert PATCH.mean() == 1 / 16
    for at, expected in ((0, soft), (1, shown), (16, image)):
        assert line[at] == pytest.approx(float(explained.probabilities(expected)[0, 1]), abs=1e-6)
    assert line[0] < 0.9 < line[1]


def test_the_last_step_of_a_curve_changes_all_pixels() -> None:
    for side, steps in ((1, 20), (3, 20), (28, 20), (128, 50)):
        curves = Curves(patch_network(), torch.zeros(1, 1, side, side), 0, steps, 1, 0)
        assert (curves.fractions[0], curves.fractions[-1]) == (0, 1)
        assert len(curves.fractions) == min(steps, side**2) + 1


def test_a_constant_map_is_a_random_order_and_fails() -> None:
    flat = checks_of_map(np.ones((SIZE, SIZE)))
    order = pixel_ranks(np.ones((SIZE, SIZE)), 0)
    assert sorted(order.ravel()) == list(range(SIZE**2))
    assert abs(np.corrcoef(order.ravel(), np.arange(SIZE**2))[0, 1]) < 0.1
    for name in ("deletion", "insertion"):
        assert flat[name]["value"] == pytest.approx(flat[name]["controls"]["random"], abs=0.05)
        assert flat[name]["passed"] is False
        assert "random" in flat[name]["says"]


def test_the_random_control_is_the_mean_of_several_curves() -> None:
    curves = Curves(patch_network(), patch_image(), 1, 10, 3, 7)
    lines = curves.compute("deletion", [controls.random(SIZE, SIZE, 7, number) for number in range(3)])
    assert curves.controls["deletion"]["random"] == pytest.approx(lines.mean(axis=0))


def test_a_network_that_ignores_the_image_is_reported() -> None:
    explained, method = (
        ExplainedNetwork.bare(WeightedSum(PATCH * 0.1 / PATCH.sum()), 1, CLASSES),
        FakeMethod(gradient_times_input),
    )
    checks = checks_of(explained, method, level="quick")
    for name in ("deletion", "insertion"):
        assert checks[name]["blind"] is True
        assert "without the image the probability differs by less than 0.1" in checks[name]["says"]
        assert checks_of_map(PATCH)[name]["blind"] is False


def test_overflow_is_reported() -> None:
    explained = ExplainedNetwork.bare(WeightedSum(np.full((4, 4), np.inf)), 1, CLASSES)
    with pytest.raises(LightcnnError, match="overflow"):
        Curves(explained, torch.zeros(1, 1, 4, 4), 1, 4, 1, 0).compute("deletion", [np.zeros((4, 4))])
