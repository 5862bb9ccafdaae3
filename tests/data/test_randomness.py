"""Random numbers of augmentation: uniform, and independent of each other and of the order in an epoch."""

from __future__ import annotations

import numpy as np
from helpers.augmentations import MANY

from lightcnn.data.randomness import COLUMN, DRAW_NAMES, Draws, uniform
from lightcnn.engine.loop import order


def test_uniform_numbers_are_uniform_and_in_range():
    draws = uniform(0, 0, np.arange(20_000), range(len(DRAW_NAMES)))
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(draws.T) - np.eye(len(DRAW_NAMES))).max() < 0.03


def test_every_name_has_a_column_and_the_first_names_keep_theirs():
    assert len(COLUMN) == len(DRAW_NAMES)
    # The columns of the first release: recipes are only reproducible while these do not change.
    assert DRAW_NAMES[:8] == ("rotate", "shear", "zoom", "flip", "shift", "shift_height", "warped", "order")


def test_warping_is_independent_of_the_order_in_an_epoch():
    warped = Draws.of(0, 3, MANY)["warped"][order(len(MANY), 0, 3)] < 0.5
    assert abs(warped[:1500].mean() - warped[1500:].mean()) < 0.06


def test_the_order_of_an_epoch_is_that_of_its_column():
    images = np.arange(500)
    assert order(500, 7, 2).tolist() == np.argsort(Draws.of(7, 2, images)["order"], kind="stable").tolist()
    assert sorted(order(500, 7, 2)) == images.tolist()
