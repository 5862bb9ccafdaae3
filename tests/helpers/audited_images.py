"""Small data sets with known problems, and a quick stand-in for the search for near duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping import similar as search
from lightcnn.data.grouping.groups import linked_images
from lightcnn.data.grouping.similar import SimilarImages

STRANGE = "a\x1b[31m\n<script>alert(1)<b>"


def use_quick_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in `folder`, and takes images with the same pixels in any order for near duplicates."""

    def find(images: Any, *, progress: Any = None) -> SimilarImages:
        clusters = linked_images([np.sort(image, axis=None).tobytes().hex() for image in images])
        pairs = np.array([(first, i) for i, first in enumerate(clusters) if first < i], dtype=np.int64).reshape(-1, 2)
        progress("comparing images", len(images), len(images))
        return SimilarImages(pairs, np.full(len(pairs), 9, dtype=np.int64), clusters)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(search, "find_similar", find)
    monkeypatch.setattr(search, "MIN_PIXELS", 16)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(folder / ".cache"))


def photo(
    seed: int, file: str | Path, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = lambda pixels: pixels
) -> Path:
    """Writes random pixels (20, 24, 3), changed, as an image file."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(np.ascontiguousarray(change(pixels))).save(path)
    return path


def write_clean() -> str:
    """Twenty different photographs in two classes, without a split."""
    for i in range(20):
        photo(i, f"clean/{('cats', 'dogs')[i % 2]}/{i}.png")
    return "clean"


def write_planted() -> str:
    """Twenty photographs with a given split: mirrored copies in another class, exact ones in another set, and two
    damaged files."""
    for i in range(20):
        photo(i, f"planted/{'test' if i > 15 else 'train'}/{('cats', 'dogs')[i % 2]}/{i}.png")
    photo(0, "planted/train/dogs/0 mirrored.png", lambda pixels: pixels[:, ::-1])
    photo(0, "planted/train/cats/0 turned.png", lambda pixels: pixels[::-1])
    photo(2, "planted/test/cats/2 again.png")
    photo(3, f"planted/test/dogs/{STRANGE}.png", lambda pixels: pixels[::-1])
    Path("planted/train/cats/empty.png").write_bytes(b"")
    Path("planted/train/dogs/cut.png").write_bytes(Path("planted/train/dogs/3.png").read_bytes()[:300])
    return "planted"


def manifest(patients: Sequence[str], split: Sequence[str], source: str = "by hand") -> Dataset:
    """A data set as a manifest gives it, with a different image for each pair of a patient and a set of the split."""
    images = np.random.default_rng(0).integers(0, 256, (len(patients), 20, 20, 3), dtype=np.uint8)
    paths = tuple(f"{i}.png" for i in range(len(patients)))
    labels = np.arange(len(patients)) % 2
    return Dataset(source, images, labels, ("a", "b"), paths, np.array(split), np.array(patients), "manifest")
