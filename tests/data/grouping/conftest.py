"""A folder of images, and a fake search for near duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lightcnn.data.grouping import similar as search
from lightcnn.data.grouping.similar import SimilarImages


@pytest.fixture
def photographs(tmp_path):
    """Twelve images of 70 pixels in two classes; the last is a copy of the first in the other class."""
    random = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "photographs" / "AB"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "photographs" / "B" / "11.png").write_bytes((tmp_path / "photographs" / "A" / "0.png").read_bytes())
    return str(tmp_path / "photographs")


@pytest.fixture
def searches(monkeypatch, tmp_path):
    """The runs of a fake search that reports the first two images as near duplicates."""
    runs = []

    def fake(images, *, progress=None):
        runs.append(len(images))
        clusters = np.arange(len(images))
        clusters[1] = 0
        return SimilarImages(np.array([[0, 1]]), np.array([20]), clusters)

    monkeypatch.setattr(search, "find_similar", fake)
    monkeypatch.setattr(search, "MIN_PIXELS", 64)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    return runs
