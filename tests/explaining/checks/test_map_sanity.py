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
    ("values", "warning"),
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
def test_every_degenerate_map_has_its_warning(values: NDArray[np.float64], warning: str) -> None:
    checks = checks_of_map(values, level="full", mask=PATCH)
    assert checks["map"]["warnings"] == [warning]
    assert checks["map"]["passed"] is False
    assert checks["map"]["says"] == WARNINGS[warning]
    json.dumps(checks, allow_nan=False)


def test_a_localised_map_has_no_warning() -> None:
    checks = checks_of_map(BUMP)
    assert (checks["map"]["warnings"], checks["map"]["passed"], checks["map"]["says"]) == ([], True, "")


def test_background_is_black() -> None:
    image = torch.rand(1, 1, SIZE, SIZE) + 0.1
    image[..., :8] = 0.001
    on_black, elsewhere = np.zeros((SIZE, SIZE), np.float32), BUMP.astype(np.float32)
    on_black[10:20, 3:7] = 1
    for values, warnings in ((on_black, ["background"]), (elsewhere, [])):
        result = check_map(values, patch_network(), image)
        assert result["warnings"] == warnings
        assert result["background"] == {"energy": pytest.approx(float(energy(values)[:, :8].sum())), "area": 0.25}
    assert check_map(on_black, patch_network(), image - 0.5)["background"]["area"] == 0, (
        "an image with negative pixels has no black"
    )


@pytest.mark.parametrize(("side", "warns"), [(10, False), (11, True)])
def test_maps_of_at_least_11_pixels_can_be_concentrated_on_the_border(side: int, warns: bool) -> None:
    values = border_mask(side, side).astype(np.float32)
    shape = check_map(values, patch_network(), torch.ones(1, 1, side, side))
    assert ("border" in shape["warnings"]) == warns


def test_the_border_is_at_least_one_pixel_wide() -> None:
    assert border_mask(100, 40).sum() == 100 * 40 - 90 * 36
    assert border_mask(4, 4).sum() == 12
    assert border_mask(1, 1).all()
