"""Calibration error and temperature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.predictions import sample_predictions
from scipy.special import softmax

from lightcnn.evaluation.calibration import (
    apply_temperature,
    calibration_error,
    confidence_bins,
    cross_entropy,
    fit_temperature,
)
from lightcnn.evaluation.intervals import wilson
from lightcnn.inference import class_probabilities


def test_the_calibration_error_is_the_one_computed_by_hand():
    labels = np.array([0, 0, 1, 1])
    certain = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(labels, certain) == pytest.approx(0.25)
    assert calibration_error(labels[:2], np.array([[0.75, 0.25]] * 2)) == pytest.approx(0.25)


def test_a_known_temperature_is_recovered():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 3))
    labels = (random.random((20_000, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    for temperature in (0.4, 2.5):
        sharp = softmax(logits * temperature, axis=1)
        fitted = fit_temperature(labels, sharp)
        assert fitted.value == pytest.approx(temperature, rel=0.03)
        np.testing.assert_allclose(apply_temperature(sharp, temperature), softmax(logits, axis=1), atol=1e-12)
        assert calibration_error(labels, apply_temperature(sharp, fitted.value)) < calibration_error(labels, sharp) / 3
        assert (apply_temperature(sharp, fitted.value).argmax(axis=1) == sharp.argmax(axis=1)).all()


def test_a_saturated_sigmoid_is_scaled_as_in_predict():
    """With a logit of 60, one minus the probability would be 0, which no temperature could change."""
    logits = torch.tensor([[60.0], [-60.0], [3.0]])
    expected = class_probabilities(logits, 10).numpy()
    np.testing.assert_allclose(apply_temperature(class_probabilities(logits).numpy(), 10), expected, atol=1e-12)
    assert expected[0, 0] > 0.002


def test_the_temperature_is_left_at_1_without_evidence_for_another():
    labels, rows = sample_predictions(40, 2)
    assert fit_temperature(labels, rows).value != 1
    few = fit_temperature(labels, rows, np.repeat(np.arange(8), 5).astype(str))
    assert (few.value, few.rule) == (1, "left at 1: the validation set has fewer than 10 groups")
    correct = fit_temperature(labels, np.eye(2)[labels] * 0.6 + 0.2)
    assert correct.value == 1
    assert "all validation images are classified correctly" in correct.rule


def test_the_cross_entropy_of_a_certain_error_is_finite():
    assert cross_entropy(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])) == pytest.approx(np.log(2))
    assert np.isfinite(cross_entropy(np.array([0]), np.array([[0.0, 1.0]])))


def test_bins_have_the_accuracy_of_their_images_and_an_interval_by_group():
    labels = np.array([0, 0, 1, 1])
    predicted = np.array([[0.95, 0.05], [0.96, 0.04], [0.97, 0.03], [0.4, 0.6]])
    groups = np.array(["a", "a", "b", "c"])
    low, high = confidence_bins(labels, predicted, groups)
    assert (low.images, high.images) == (1, 3)
    assert low.start == pytest.approx(9 / 15) and high.start == pytest.approx(14 / 15)
    assert high.confidence == pytest.approx(0.96) and high.accuracy == pytest.approx(2 / 3)
    assert high[-2:] == pytest.approx(wilson(4 / 3, 2)), "three images of two groups"
    error = sum(part.images * abs(part.accuracy - part.confidence) for part in (low, high)) / 4
    assert calibration_error(labels, predicted) == pytest.approx(error)
