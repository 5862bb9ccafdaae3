"""Datasets: their fingerprints."""

from __future__ import annotations

import numpy as np
from helpers.data_sets import arrays, npz

from lightcnn.data.sources.load import load


def test_the_fingerprint_depends_on_pixels_labels_classes_and_splits(tmp_path):
    base = arrays(60, 2, test_images=np.zeros((20, 8, 8), dtype=np.uint8), test_labels=np.arange(20) % 2)
    moved = {
        "train_images": base["train_images"][:40],
        "train_labels": base["train_labels"][:40],
        "test_images": np.concatenate([base["train_images"][40:], base["test_images"]]),
        "test_labels": np.concatenate([base["train_labels"][40:], base["test_labels"]]),
    }
    pixel = {**base, "train_images": base["train_images"] ^ (np.arange(60) == 3)[:, None, None].astype(np.uint8)}
    label = {**base, "train_labels": base["train_labels"][::-1].copy()}
    named = {**base, "class_names": np.array(["x", "y"])}
    fingerprints = []
    for index, content in enumerate((base, moved, pixel, label, named)):
        (tmp_path / str(index)).mkdir()
        fingerprints.append(load(npz(tmp_path / str(index), **content)).fingerprint)
    assert len(set(fingerprints)) == 5
