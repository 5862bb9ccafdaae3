"""Maps compared with ground-truth masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.map_checks import (
    PATCH,
    checks_of_map,
)

from lightcnn.errors import InputError
from lightcnn.explaining.checks.mask_overlap import check_mask


def masked(values: Any, mask: Any) -> dict[str, Any]:
    return check_mask(np.asarray(values, dtype=np.float32), np.asarray(mask, dtype=np.bool_))


def test_a_mask_by_hand() -> None:
    mask = np.zeros((4, 4))
    mask[0, :2] = 1
    values = np.zeros((4, 4))
    values[0, 0], values[3, 3], values[2, 2] = 3, 1, -50
    right = masked(values, mask)
    assert (right["value"], right["area"], right["ratio"]) == (0.75, 0.125, 6)
    assert (right["pointing"], right["passed"]) == (True, True)
    wrong = masked(values[::-1, ::-1], mask)
    assert (wrong["value"], wrong["pointing"], wrong["passed"]) == (0.25, False, False)
    spread = masked(np.ones((4, 4)), mask)
    assert (spread["ratio"], spread["pointing"], spread["passed"]) == (1, False, False)


def test_how_much_the_network_needs_the_masked_pixels() -> None:
    """Only the patch matters: removing it changes the prediction, removing another region does not."""
    right, wrong = (checks_of_map(PATCH, mask=mask)["mask"]["needed"] for mask in (PATCH, PATCH[::-1]))
    assert right["deletion"] == pytest.approx(checks_of_map(PATCH)["deletion"]["value"], abs=1e-6)
    assert right["deletion"] < right["random"] < wrong["deletion"]
    for mask in (PATCH & False, PATCH | True):
        assert checks_of_map(PATCH, mask=mask)["mask"]["needed"] is None


def test_the_pointing_game_may_miss_by_a_few_pixels() -> None:
    mask = np.zeros((112, 112))
    mask[50:60, 50:60] = 1
    for right, hit in ((66, True), (67, False)):
        values = np.zeros((112, 112))
        values[55, right] = 1
        assert masked(values, mask)["pointing"] is hit, "59 + 112 × 15 / 224 = 66.5"


@pytest.mark.parametrize(
    ("values", "mask", "passed", "says"),
    [
        (np.ones((4, 4)), np.zeros((4, 4)), None, "empty"),
        (np.ones((4, 4)), np.eye(4) < 1, None, "covers more than half"),
        (np.zeros((4, 4)), np.eye(4), False, "nowhere above 0"),
        (-np.ones((4, 4)), np.eye(4), False, "nowhere above 0"),
        (np.full((4, 4), np.nan), np.eye(4), False, "not finite"),
    ],
)
def test_masks_and_maps_that_cannot_be_compared(values: Any, mask: Any, passed: bool | None, says: str) -> None:
    result = masked(values, mask)
    assert (result["passed"], result["value"]) == (passed, None)
    assert says in result["says"]


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 3\) does not fit a map of \(4, 4\)"):
        masked(np.ones((4, 4)), np.ones((3, 3)))
