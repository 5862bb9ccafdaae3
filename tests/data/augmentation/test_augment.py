"""Augmentation as a whole: it depends only on (seed, epoch, index), stays on the scale and never changes the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.augmentations import ALL, MIXES, NONE, augmented, random_images, settings

from lightcnn.data.augmentation.augment import augment
from lightcnn.data.augmentation.batch import training_images
from lightcnn.recipe import Augment


def test_all_settings_are_tested_and_described():
    shares = {"warped", "filtered"}
    assert set(Augment.model_fields) == ALL.keys() | MIXES.keys() | shares
    for name, field in Augment.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [11, 32])
def test_an_image_is_the_same_bit_for_bit_in_any_batch(channels, size):
    images, index = random_images(61, channels, size), np.arange(61)
    whole = augment(images, settings(**ALL), 1, 2, index)
    for chosen in (index[::-1].copy(), index[7:8], index[:60], index[13:30], np.array([60, 3, 3])):
        part = augment(images[torch.from_numpy(chosen)], settings(**ALL), 1, 2, chosen)
        assert torch.equal(part, whole[torch.from_numpy(chosen)])


@pytest.mark.parametrize("name", ALL)
def test_every_operation_alone_is_the_same_bit_for_bit_in_any_batch(name):
    images, index = random_images(40, 3, 19), np.arange(40)
    operation = settings(**{name: ALL[name]})
    whole = augment(images, operation, 5, 6, index)
    single = torch.cat([augment(images[i : i + 1], operation, 5, 6, index[i : i + 1]) for i in index])
    assert torch.equal(whole, single)
    assert not torch.equal(whole, images.float())


def test_seed_epoch_and_index_change_the_augmentation():
    images, index = random_images(6), np.arange(6)
    for changes in (*({name: value} for name, value in ALL.items()), *({name: value} for name, value in MIXES.items())):
        given = {"settings": settings(**changes)}
        first = training_images(images, index, seed=1, epoch=2, **given)[0]
        assert torch.equal(training_images(images, index, seed=1, epoch=2, **given)[0], first)
        for seed, epoch in ((9, 2), (1, 9)):
            assert not torch.equal(training_images(images, index, seed=seed, epoch=epoch, **given)[0], first), changes
    same = augmented(images[0], np.arange(20), **ALL)
    assert len({row.numpy().tobytes() for row in same}) == 20


@pytest.mark.parametrize("channels", [1, 3])
def test_without_settings_nothing_changes_and_the_callers_images_never_do(channels):
    images = random_images(9, channels)
    before, index = images.clone(), np.arange(9)
    for kind in (images, images.float()):
        for nothing in (
            NONE,
            settings(),
            settings(warped=0.0, rotate=9.0),
            settings(filtered=0.0, noise=0.5, erase=1.0),
        ):
            out = augment(kind, nothing, 0, 0, index)
            assert torch.equal(out, images.float())
            assert out.dtype == torch.float32
        augment(kind, settings(**ALL), 0, 0, index)
        assert torch.equal(kind, before.to(kind.dtype))
        out, mix = training_images(kind, index, settings=NONE, seed=0, epoch=0)
        assert mix is None
        assert torch.equal(out, images.float())


@pytest.mark.parametrize("size", [1, 2, 3, 28])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_strongest_settings_give_finite_values_on_the_scale(size, channels):
    strongest = {"shift": 0.5, "rotate": 180.0, "zoom": 0.99, "shear": 45.0, "crop": 0.95, "sharpen": 1.0, "blur": 10.0,
                 "brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "noise": 1.0, "erase": 1.0}  # fmt: skip
    images = random_images(200, channels, size)
    given = settings(**(ALL | strongest), mixup=100.0, cutmix=0.01)
    out, mix = training_images(images, np.arange(200), settings=given, seed=0, epoch=0)
    assert out.shape == images.shape
    assert torch.isfinite(out).all()
    # Interpolation and mixing may exceed the range by rounding.
    assert out.min() >= -1e-3
    assert out.max() <= 255 + 1e-3
    assert np.isfinite(mix.weights).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_only_the_given_shares_of_images_are_warped_and_filtered(share):
    image = random_images(1)[0]
    for changes in (
        {"warped": share, "rotate": 30.0}, {"filtered": share, "contrast": 0.5}, {"filtered": share, "erase": 1.0}
    ):  # fmt: skip
        changed = (augmented(image, **changes) != image).flatten(1).any(dim=1).float().mean()
        assert abs(changed - share) < 0.05
