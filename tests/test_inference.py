"""From logits to probabilities and classes: temperature and threshold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.decisions import decide
from lightcnn.inference import class_probabilities, probabilities
from lightcnn.network import build
from lightcnn.spec import ConvBlock, NetworkSpec

PLAIN = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright"))


def test_a_temperature_divides_the_logits():
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    assert torch.equal(class_probabilities(logits), logits.double().softmax(1))
    np.testing.assert_allclose(class_probabilities(logits, 2.0), (logits.double() / 2).softmax(1))
    np.testing.assert_allclose(class_probabilities(torch.tensor([[3.0]]), 1.5)[0, 1], 1 / (1 + np.exp(-2)))


def test_the_threshold_applies_to_the_second_of_two_classes():
    two = np.array([[0.6, 0.4], [0.4, 0.6], [0.5, 0.5], [0.7, 0.3]])
    assert decide(two).tolist() == two.argmax(axis=1).tolist() == [0, 1, 0, 0]
    assert decide(two, 0.4).tolist() == [1, 1, 1, 0]
    assert decide(two, 0.7).tolist() == [0, 0, 0, 0]
    assert decide(np.array([[0.3, 0.4, 0.3]]), 0.1).tolist() == [1]


def test_calibrated_probabilities_are_those_of_the_scaled_logits():
    spec = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2)
    model = build(spec, 0).eval()
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    calibrated = PLAIN.model_copy(update={"temperature": 3.0})
    with torch.inference_mode():
        logits = model(normalise(images, PLAIN))
    np.testing.assert_allclose(probabilities(model, images, calibrated), class_probabilities(logits, 3.0), atol=1e-6)


@pytest.mark.parametrize(("size", "batches"), [(8, [512, 88]), (64, [512, 88]), (224, [41] * 2 + [18]), (512, [16, 4])])
def test_large_images_are_predicted_in_small_batches(size, batches):
    """So that a forward pass takes about as much memory for every size."""
    counts = []
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    model.register_forward_hook(lambda module, inputs, output: counts.append(len(output)))
    images = torch.zeros((1, 1, size, size), dtype=torch.uint8).expand(sum(batches), -1, -1, -1)
    assert probabilities(model, images, PLAIN.model_copy(update={"size": size})).shape == (sum(batches), 2)
    assert counts == batches
