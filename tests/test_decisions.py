"""Classes and probabilities as arrays: equal to those of tensors, and without torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightcnn import decisions, inference


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("scale", [1.0, 40.0, 1_000.0])
def test_probabilities_of_arrays_are_those_of_tensors(classes: int, temperature: float, scale: float) -> None:
    logits = torch.randn(50, classes, generator=torch.Generator().manual_seed(classes)) * scale
    of_tensor = inference.class_probabilities(logits, temperature).numpy()
    of_array = decisions.class_probabilities(logits.numpy(), temperature)
    assert of_array.dtype == np.float64
    assert of_array.shape == (50, max(classes, 2))
    np.testing.assert_allclose(of_array, of_tensor, rtol=1e-12, atol=1e-300)


def test_the_threshold_applies_to_the_second_of_two_classes() -> None:
    two = np.array([[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]])
    assert decisions.decide(two).tolist() == [0, 0, 1]
    assert decisions.decide(two, 0.2).tolist() == [1, 1, 1]
    assert decisions.decide(two, 0.7).tolist() == [0, 0, 1]
    assert decisions.decide(two, 0.71).tolist() == [0, 0, 0]
    three = np.array([[0.2, 0.5, 0.3]])
    assert decisions.decide(three, 0.9).tolist() == [1]
