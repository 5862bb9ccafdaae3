"""Control maps that ignore the network."""

from __future__ import annotations

import numpy as np
import torch
from helpers.map_checks import (
    SIZE,
    patch_network,
)

from lightcnn.explaining.checks import controls


def test_controls_mark_the_middle_the_edges_and_random_pixels() -> None:
    middle = controls.centre(9, 5)
    assert np.unravel_index(middle.argmax(), middle.shape) == (4, 2)
    assert middle[0, 0] == middle.min() == middle[-1, -1]
    step = torch.zeros(1, 1, SIZE, SIZE)
    step[..., 20:] = 1
    strength = controls.edges(patch_network(), step)
    assert set(strength.argmax(axis=1)) <= {19, 20}
    assert np.abs(controls.random(8, 8, 0, 0) - controls.random(8, 8, 0, 1)).max() > 0.1
