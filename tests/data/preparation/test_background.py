"""Background removal."""

from __future__ import annotations

import builtins
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lightcnn.data.preparation import background
from lightcnn.errors import InputError


@pytest.mark.parametrize("channels", [1, 3])
def test_grabcut_makes_the_surroundings_black_and_is_the_same_in_every_thread(channels):
    random = np.random.default_rng(0)
    image = random.integers(0, 30, (100, 120, channels), dtype=np.uint8)
    image[30:70, 40:80] = random.integers(180, 220, (40, 40, channels), dtype=np.uint8)
    cut = background.remove(image, "grabcut")
    assert (cut[:20] == 0).all()
    assert (cut[35:65, 45:75] == image[35:65, 45:75]).all()
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(cut, other) for other in pool.map(background.remove, [image] * 6, ["grabcut"] * 6))


@pytest.mark.parametrize("value", [0, 128])
def test_where_no_object_is_found_the_image_stays(value):
    flat = np.full((50, 50, 3), value, np.uint8)
    assert np.array_equal(background.remove(flat, "grabcut"), flat)
    assert background.remove(flat, "none") is flat


def test_missing_rembg_is_reported_in_one_line(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name == "rembg":
            raise ImportError(name)
        return original(name, *rest)

    background._session.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"rembg is not installed; pip install 'lightcnn\[background\]'"):
        background.remove(np.zeros((9, 9, 3), np.uint8), "rembg")
