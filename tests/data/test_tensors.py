"""The tensor part of preprocessing: resizing and normalisation."""

from __future__ import annotations

import numpy as np
import torch
from helpers.data_sets import RANDOM

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import channel_statistics, network_pixels, normalise, resize


def test_resize_agrees_for_arrays_and_lists_and_keeps_equal_sizes():
    images = RANDOM.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    torch.testing.assert_close(resize(images, 16), resize(list(images), 16), rtol=0, atol=0)
    torch.testing.assert_close(resize(images, 8), torch.from_numpy(images).movedim(3, 1), rtol=0, atol=0)


def test_normalised_training_images_have_mean_zero_and_deviation_one():
    images = torch.from_numpy(RANDOM.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8))
    mean, deviation = channel_statistics(images)
    rule = Preprocess(size=8, channels=3, shorter_side=256, mean=mean, deviation=deviation, classes=("a", "b"))
    out = normalise(images, rule)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(out.std(dim=(0, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)
    assert channel_statistics(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8))[1][0] > 0


def test_images_get_the_networks_number_of_channels():
    preprocess = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.2,), classes=("a", "b"))
    colour = np.full((8, 8, 3), 100, np.uint8)
    assert network_pixels(colour, preprocess).shape == (1, 8, 8)
    assert (network_pixels(colour, preprocess) == 100).all()
    wide = preprocess.model_copy(update={"channels": 3})
    assert network_pixels(colour[..., :1], wide).shape == (3, 8, 8)
