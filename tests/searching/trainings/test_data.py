"""The images that the trainings of a search read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lightcnn.data.dataset import assemble
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.split import Split
from lightcnn.searching.trainings.data import VALIDATION_IMAGES, PipelineData


@pytest.fixture
def labels() -> NDArray[np.int64]:
    """Of 12,000 images: three of five are of class 0, and one in 120 is of class 2."""
    return np.array([2] * 100 + [0] * 7_200 + [1] * 4_700)


def compared_on(labels: NDArray[np.int64], validation: int, seed: int) -> NDArray[np.int64]:
    """The images on which a search compares networks, if the first so many are the validation set."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 2, 2, 1), dtype=np.uint8)
    dataset = assemble("made", images, labels, ("a", "b", "c"))
    split = Split(np.arange(validation, len(labels)), np.arange(validation), np.array([], dtype=np.int64))
    return PipelineData(Pipeline(dataset, split, torch.device("cpu")), seed).validation


def test_networks_are_compared_on_a_part_of_a_large_validation_set(labels: NDArray[np.int64]) -> None:
    """Every class has its share; searches with the same seed compare on the same images."""
    validation = compared_on(labels, 10_000, 0)
    assert len(validation) == VALIDATION_IMAGES == 2_500
    assert (np.diff(validation) > 0).all()
    assert np.bincount(labels[validation]).tolist() == [1_800, 675, 25]
    assert (validation == compared_on(labels, 10_000, 0)).all()
    assert (validation != compared_on(labels, 10_000, 1)).any()


def test_networks_are_compared_on_all_of_a_small_validation_set(labels: NDArray[np.int64]) -> None:
    assert compared_on(labels, 2_500, 0).tolist() == list(range(2_500))
