"""Warnings about maps without information, or with their values in the wrong place."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.map_checks import (
    PATCH,
    SIZE,
    checks_of_map,
    patch_network,
)
from numpy.typing import NDArray

from lightcnn.explaining.checks.map_sanity import WARNINGS, border_mask, check_map, energy

BUMP = np.exp(-((np.arange(SIZE)[:, None] - 12) ** 2 + (np.arange(SIZE)[None] - 18) ** 2) / 20)


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (np.where(BUMP > 0.9, np.nan, BUMP), "nonfinite"),
        (np.where(BUMP > 0.9, np.inf, BUMP), "nonfinite"),
        (np.zeros((SIZE, SIZE)), "zero"),
        (np.full((SIZE, SIZE), 2.0) + 1e-7 * BUMP, "constant"),
        (np.full((SIZE, SIZE), -2.0), "constant"),
        (BUMP - 2, "negative"),
        (np.where(border_mask(SIZE, SIZE), 1, 0.01 * BUMP), "border"),
    ],
)
def test_degenerate_maps_each_have_their_warning(found: NDArray[np.float64], warning: str) -> None:
    checks = checks_of_map(found, level="full", mask=PATCH)
    assert checks["map"]["warnings"] == [warning]
    assert checks["map"]["passed"] is False
    assert checks["map"]["says"] == WARNINGS[warning]
    json.dumps(checks, allow_nan=False)


def test_a_map_with_a_shape_has_no_warning() -> None:
    checks = checks_of_map(BUMP)
    assert (checks["map"]["warnings"], checks["map"]["passed"], checks["map"]["says"]) == ([], True, "")


def test_background_is_what_is_black() -> None:
    image = torch.rand(1, 1, SIZE, SIZE) + 0.1
    image[..., :8] = 0.001
    on_black, elsewhere = np.zeros((SIZE, SIZE), np.float32), BUMP.astype(np.float32)
    on_black[10:20, 3:7] = 1
    for found, warnings in ((on_black, ["background"]), (elsewhere, [])):
        result = check_map(found, patch_network(), image)
        assert result["warnings"] == warnings
        assert result["background"] == {"energy": pytest.approx(float(energy(found)[:, :8].sum())), "area": 0.25}
    assert check_map(on_black, patch_network(), image - 0.5)["background"]["area"] == 0, "no black below 0"


@pytest.mark.parametrize(("side", "told"), [(10, False), (11, True)])
def test_from_11_pixels_on_a_map_can_sit_on_the_border(side: int, told: bool) -> None:
    found = border_mask(side, side).astype(np.float32)
    shape = check_map(found, patch_network(), torch.ones(1, 1, side, side))
    assert ("border" in shape["warnings"]) == told


def test_the_border_of_any_image_is_at_least_a_pixel_wide() -> None:
    assert border_mask(100, 40).sum() == 100 * 40 - 90 * 36
    assert border_mask(4, 4).sum() == 12
    assert border_mask(1, 1).all()
