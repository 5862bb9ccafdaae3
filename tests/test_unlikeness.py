"""The score of unlikeness: its distance, its limit, and what it knows of features and pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.inference import evaluate, pixel_statistics, probabilities
from lightcnn.network import build
from lightcnn.spec import ConvBlock, NetworkSpec
from lightcnn.unlikeness import MAX_CENTRES, Unlikeness, fit_unlikeness, mismatch_warnings, unlike_warnings


def test_the_distance_is_that_from_the_nearest_class():
    score = Unlikeness(centres=((0.0, 0.0), (10.0, 0.0)), deviation=(1.0, 2.0), precision=(1.0, 0.5, 2.0), limit=0.5)
    # z = (3, 1): 3*3*1 + 2*3*1*0.5 + 1*1*2 = 14; z = (0, -2): 8; per feature, and divided by the limit.
    features = np.array([[3.0, 2.0], [10.0, -4.0]])
    assert score.scores(features) == pytest.approx([np.sqrt(14 / 2) / 0.5, np.sqrt(8 / 2) / 0.5])


@pytest.mark.parametrize(("count", "above"), [(27, 0), (99, 0), (100, 1), (450, 4)])
def test_at_most_one_in_a_hundred_validation_images_is_above_the_limit(count, above):
    generator = np.random.default_rng(count)
    training, labels = generator.normal(size=(300, 5)), np.arange(300) % 3
    validation = generator.normal(size=(count, 5))
    score = fit_unlikeness(training, labels, validation)
    assert score.validation_images == count
    scores = score.scores(validation)
    assert (scores > 1).mean() == above / count
    halves = scores[::2], scores[1::2]
    limits = [1.00001 * np.sort(half)[len(half) - 1 - int(0.01 * len(half))] for half in halves[::-1]]
    alarms = sum((half > limit).sum() for half, limit in zip(halves, limits, strict=True))
    assert score.false_alarm_rate == alarms / count
    assert score.false_alarm_rate >= 0.5 / count


def test_far_features_are_far_and_more_classes_than_centres_share_a_mean():
    generator = np.random.default_rng(0)
    training, validation = generator.normal(size=(400, 5)), generator.normal(size=(200, 5))
    score = fit_unlikeness(training, np.arange(400) % (MAX_CENTRES + 1), validation)
    assert len(score.centres) == 1
    assert score.scores(validation + 8).min() > 2
    assert (fit_unlikeness(np.ones((9, 3)), np.arange(9) % 2, np.ones((4, 3))).scores(np.ones((1, 3))) <= 1).all()


def test_features_are_the_input_of_the_classifier_and_statistics_of_the_pixels():
    spec = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2)
    preprocess = Preprocess(
        size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright")
    )
    model = build(spec, 0).train()
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows, features = evaluate(model, images, preprocess, batch=2)
    np.testing.assert_array_equal(rows, probabilities(model, images, preprocess, batch=2))
    assert features.shape == (5, 4 + 4)
    assert model.training
    assert not any(part._forward_pre_hooks for part in model.modules())
    weight, bias = (
        values.detach().double().numpy() for values in (model.head.classifier.weight, model.head.classifier.bias)
    )
    logits = features[:, :4] @ weight.T + bias
    np.testing.assert_allclose(rows, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-5)
    assert evaluate(nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten()), images, preprocess)[1].shape == (5, 4)


def test_pixel_statistics_of_stripes():
    stripes = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    stripes[..., ::2] = 255
    # No step downwards; 12 steps of 1 to the right, per 16 pixels; mean and deviation 0.5.
    assert pixel_statistics(stripes).tolist() == [[0.0, 0.75, 0.5, 0.5]]


def test_warnings_count_images():
    score = Unlikeness(
        centres=((0.0,),), deviation=(1.0,), precision=(1.0,), false_alarm_rate=0.01, validation_images=200
    )
    (warning,) = unlike_warnings(score, [0.5, 1.5, 7.0])
    assert (warning.code, warning.count) == ("unlike_training_images", 2)
    assert "2 of 3 images are unlike the training images" in warning.message
    assert "rate of false alarms 1.0%, from 200 validation images" in warning.message
    assert unlike_warnings(score, [1.0]) == unlike_warnings(None, [None]) == mismatch_warnings({(): 3}) == []
    (warning,) = mismatch_warnings({("channels",): 2, ("size",): 1})
    assert (warning.code, warning.count) == ("images_mismatched", 3)
    assert warning.message == (
        "Some images differ from the training images: 2 of 3 are in colour and were made grey, since the network reads "
        "grey images; 1 of 3 have less than half of the shorter side of the smallest training image."
    )
