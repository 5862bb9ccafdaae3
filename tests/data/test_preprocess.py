"""Preprocessing: each step does what it promises, and none of it needs torch."""

from __future__ import annotations

import numpy as np
from test_layers import loaded_after

from lightcnn.data.tensors import prepare
from lightcnn.recipe import Preparation


def test_fit_stretches_crops_or_pads():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 200
    stretched, cropped, padded = (prepare(image, Preparation(fit=fit), 20) for fit in ("stretch", "crop", "pad"))
    assert (cropped == 200).all()
    assert (stretched[0, :, 0] == 0).all()
    assert (stretched[0, :, 10] == 200).all()
    assert (padded[0, 0] == 0).all()
    assert (padded[0, 10, 10]) == 200


def test_clahe_spreads_a_narrow_range_and_keeps_hues():
    random = np.random.default_rng(0)
    image = random.integers(100, 130, (64, 64, 1), dtype=np.uint8)
    assert prepare(image, Preparation(clahe=4), 64).float().std() > 1.5 * image.std()
    red = np.repeat(image, 3, axis=2)
    red[..., 1:] //= 4
    changed = prepare(red, Preparation(clahe=4), 64).float()
    assert (changed[0] > changed[1] + 30).float().mean() > 0.99


def test_the_preprocessing_of_a_run_loads_without_torch():
    loaded = loaded_after("import lightcnn.data.preprocess")
    assert {"pydantic", "numpy"} <= loaded
    assert not loaded & {"torch", "cv2"}
