"""Training batches: mixed images and their targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.augmentations import ALL, MANY, MIXES, NONE, random_images, settings

from lightcnn.data.augmentation.augment import augment
from lightcnn.data.augmentation.batch import blend, draw_mix, soften, training_batch, training_images
from lightcnn.data.augmentation.filters import inside
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.engine.loop import fit
from lightcnn.network import build
from lightcnn.recipe import Optimisation
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec


def test_mixed_images_and_targets_are_the_same_bit_for_bit_in_any_batch():
    images, index = random_images(50), np.arange(50)
    labels, given = torch.from_numpy(index % 7), {"settings": settings(**ALL, **MIXES), "seed": 3, "epoch": 4}
    preprocess = Preprocess(
        size=16, channels=3, shorter_side=256, mean=(0.4, 0.5, 0.6), deviation=(0.2,) * 3, classes=tuple("abcdefg")
    )
    whole, targets = training_batch(images, labels, index, preprocess=preprocess, **given)
    for chosen in (index[::-1].copy(), index[7:8], index[11:34]):
        part, some = training_batch(images, labels, chosen, preprocess=preprocess, **given)
        rows = torch.from_numpy(chosen)
        assert torch.equal(part, whole[rows])
        assert torch.equal(some, targets[rows])


def test_mixup_is_a_convex_mixture_of_pixels_and_targets():
    images, index = random_images(50), np.arange(50)
    labels = torch.from_numpy(index % 5)
    given = settings(mixup=0.5)
    mixed, mix = training_images(images, index, settings=given, seed=0, epoch=0)
    weight = torch.from_numpy(mix.weights).float().view(-1, 1, 1, 1)
    partners = images[torch.from_numpy(mix.partners)].float()
    torch.testing.assert_close(mixed, weight * images + (1 - weight) * partners, rtol=0, atol=1e-3)
    assert not mix.boxes.any()
    targets = soften(labels, labels[torch.from_numpy(mix.partners)], mix.weights, 5)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(50), rtol=0, atol=1e-6)
    different = torch.from_numpy(index % 5 != mix.partners % 5)
    assert different.sum() > 20
    torch.testing.assert_close(
        targets.gather(1, labels[:, None])[different, 0], weight.flatten()[different], rtol=0, atol=1e-6
    )


def test_cutmix_shows_the_partner_on_the_share_of_its_target():
    dark, bright = torch.zeros(400, 1, 24, 24), torch.full((400, 1, 24, 24), 255.0)
    mix = draw_mix(settings(cutmix=1.0), 0, 0, np.arange(400), count=400, size=(24, 24))
    out = blend(dark, bright, mix)
    np.testing.assert_allclose(out.mean(dim=(1, 2, 3)).numpy() / 255, 1 - mix.weights, atol=1e-6)
    assert set(out.unique().tolist()) == {0, 255}
    assert mix.weights.min() < 0.1
    assert mix.weights.max() > 0.97
    np.testing.assert_array_equal((out[:, 0] > 0).numpy(), inside(mix.boxes, out)[:, 0].numpy())


def test_with_mixup_and_cutmix_each_is_used_for_half_of_the_images():
    mix = draw_mix(settings(cutmix=1.0, mixup=1.0), 0, 0, MANY, count=100, size=(64, 64))
    assert 0.45 < mix.boxes.any(axis=1).mean() < 0.52
    assert set(mix.partners.tolist()) == set(range(100))


@pytest.mark.parametrize("alpha", [1e-9, 100.0])
def test_extreme_alphas_give_valid_shares(alpha):
    for given in (settings(mixup=alpha), settings(cutmix=alpha)):
        weights = draw_mix(given, 0, 0, MANY, count=9, size=(8, 8)).weights
        assert weights.min() >= 0
        assert weights.max() <= 1


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_follow_the_beta_distribution(alpha):
    weights = draw_mix(settings(mixup=alpha), 0, 0, np.arange(20_000), count=9, size=(8, 8)).weights
    assert abs(weights.mean() - 0.5) < 0.01
    assert abs(weights.var() - 1 / (4 * (2 * alpha + 1))) < 0.005
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_a_partner_is_augmented_like_the_image_itself():
    images, index = random_images(30), np.arange(30)
    given = settings(rotate=30.0, noise=0.1, cutmix=1.0)
    mixed, mix = training_images(images, index, settings=given, seed=0, epoch=0)
    unmixed = augment(images, given, 0, 0, index)
    in_box = inside(mix.boxes, mixed)
    assert in_box.any()
    assert torch.equal(mixed, torch.where(in_box, unmixed[torch.from_numpy(mix.partners)], unmixed))


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_training_accepts_mixed_targets(output):
    random, labels = np.random.default_rng(0), np.arange(97) % 2
    images = torch.from_numpy(
        (random.integers(0, 120, (97, 1, 8, 8)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    )
    preprocess = Preprocess(
        size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright")
    )
    spec = NetworkSpec(
        input=(1, 8, 8), stages=(ConvBlock(width=6), ConvBlock(width=8)), classes=2, head=HeadSpec(output=output)
    )
    losses = {}
    for name, given in (("plain", NONE), ("mixed", settings(mixup=1.0, cutmix=1.0))):
        epochs = []
        fit(
            build(spec, 0), images, torch.from_numpy(labels), preprocess=preprocess,
            settings=Optimisation(epochs=6, batch=16), augmentation=given, seed=0, on_epoch=epochs.append,
        )  # fmt: skip
        losses[name] = [epoch.loss for epoch in epochs]
        assert losses[name][-1] < losses[name][0]
    assert losses["plain"][-1] < 0.2
    # The entropy of mixed labels is a lower bound of the loss.
    assert 0.2 < losses["mixed"][-1] < 0.65


def test_labels_are_not_softened_without_mixing():
    preprocess = Preprocess(
        size=16, channels=3, shorter_side=256, mean=(0.5,) * 3, deviation=(0.25,) * 3, classes=("a", "b")
    )
    images, labels = random_images(8), torch.arange(8) % 2
    inputs, targets = training_batch(
        images, labels, np.array([5, 2]), settings=NONE, seed=0, epoch=0, preprocess=preprocess
    )
    assert torch.equal(inputs, normalise(images[[5, 2]], preprocess))
    assert targets.tolist() == [1, 0]
