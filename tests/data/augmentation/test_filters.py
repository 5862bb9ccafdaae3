"""Filters: each reaches both ends of its range."""

from __future__ import annotations

import math

import numpy as np
import torch
from helpers.augmentations import MANY, assert_reaches, augmented, random_images

from lightcnn.data.augmentation.filters import NOISE_DEVIATION, noise
from lightcnn.data.randomness import Draws


def energy(images):
    return images.diff(dim=-1).square().mean(dim=(1, 2, 3)) + images.diff(dim=-2).square().mean(dim=(1, 2, 3))


def test_blur_removes_detail_and_keeps_the_mean():
    # Little contrast, so that nothing is clamped.
    image = random_images(1).float()[0] / 4 + 90
    out = augmented(image, blur=2.0)
    ratio = energy(out) / energy(image[None])
    assert ratio.max() <= 1.0001
    assert ratio.max() > 0.99
    assert ratio.min() < 0.03
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), image.mean().expand(len(out)), rtol=2e-2, atol=0)


def test_blur_is_a_gaussian_of_at_most_its_deviation():
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 255
    out = augmented(point, blur=2.0)[:, 0] / 255
    torch.testing.assert_close(out.sum(dim=(1, 2)), torch.ones(len(out)), rtol=0, atol=1e-4)
    places = torch.arange(41) - 20.0
    for line in (out.sum(dim=1), out.sum(dim=2)):
        # Below half a pixel, the width of a pixel matters; the cut at three deviations reduces the widest by 1.5 %.
        assert_reaches((line * places.square()).sum(dim=1).sqrt(), 0, 2, share=0.03)


def test_sharpening_adds_detail_and_is_imgaugs_kernel():
    image = random_images(1).float()[0] / 8 + 110
    out = augmented(image, sharpen=0.2)
    ratio = energy(out) / energy(image[None])
    assert ratio.min() > 0.999
    assert ratio.max() > 5
    alpha = 0.2 * Draws.of(0, 0, MANY)["sharpen"]
    kernel = torch.full((3, 1, 3, 3), -1.0)
    kernel[:, :, 1, 1] = 9
    sharp = torch.nn.functional.conv2d(image[None], kernel, groups=3)
    expected = image[None, :, 1:-1, 1:-1] + torch.from_numpy(alpha).float().view(-1, 1, 1, 1) * (
        sharp - image[None, :, 1:-1, 1:-1]
    )
    torch.testing.assert_close(out[..., 1:-1, 1:-1], expected, rtol=0, atol=0.02)


def test_half_of_the_images_are_sharpened_and_the_others_blurred():
    image = random_images(1).float()[0] / 8 + 110
    ratio = energy(augmented(image, sharpen=0.2, blur=1.0)) / energy(image[None])
    assert 0.45 < (ratio > 1).float().mean() < 0.55


def test_brightness_is_a_factor_within_its_limit():
    out = augmented(torch.full((3, 4, 4), 100.0), brightness=0.4)
    assert_reaches(out.mean(dim=(1, 2, 3)), 60, 140)


def test_contrast_is_a_factor_of_the_distance_from_the_middle():
    image = torch.tensor([77.5, 127.5, 177.5]).view(1, 1, 3).expand(3, 3, 3)
    out = augmented(image, contrast=0.4)
    torch.testing.assert_close(out[:, :, :, 1], torch.full((len(MANY), 3, 3), 127.5), rtol=0, atol=1e-3)
    assert_reaches(out[:, 0, 0, 2] - out[:, 0, 0, 0], 60, 140)


def test_saturation_keeps_grey_and_brightness():
    image = torch.tensor([120.0, 100.0, 80.0]).view(3, 1, 1).expand(3, 4, 4)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    out = augmented(image, saturation=0.5)
    grey = (image * weights).sum(dim=0)
    torch.testing.assert_close((out * weights[None]).sum(dim=1), grey.expand(len(MANY), 4, 4), rtol=0, atol=1e-2)
    assert_reaches(out[:, 0, 0, 0] - out[:, 2, 0, 0], 20, 60)
    for neutral in (torch.full((3, 4, 4), 90.0), random_images(1, 1)[0].float()):
        torch.testing.assert_close(
            augmented(neutral, saturation=0.9), neutral.expand(3000, *neutral.shape), rtol=0, atol=1e-3
        )


def test_noise_has_the_given_deviation_and_no_pattern():
    out = augmented(torch.full((3, 32, 32), 127.5), noise=0.1) - 127.5
    deviation = out.std(dim=(1, 2, 3)) / 255
    # The deviation of 3,072 numbers has a standard error of 1.3 %.
    expected = torch.from_numpy(0.1 * Draws.of(0, 0, MANY)["noise"]).float()
    torch.testing.assert_close(deviation, expected, rtol=0.06, atol=1e-6)
    assert_reaches(expected, 0, 0.1)
    scaled = out[out.std(dim=(1, 2, 3)) > 5]
    scaled = scaled / scaled.std(dim=(1, 2, 3), keepdim=True)
    # The mean of 3,072 numbers has a standard error of 0.018, that of all numbers almost none.
    assert scaled.mean(dim=(1, 2, 3)).abs().max() < 0.09
    assert scaled.mean(dim=0).abs().max() < 0.11
    for axis in (1, 2, 3):
        neighbours = (
            scaled.narrow(axis, 1, scaled.shape[axis] - 1) * scaled.narrow(axis, 0, scaled.shape[axis] - 1)
        ).mean()
        assert abs(neighbours) < 0.003
    assert abs((scaled[1:] * scaled[:-1]).mean()) < 0.003


def test_noise_is_nearly_normal():
    numbers = (
        noise(torch.Size((500, 1, 32, 32)), np.random.default_rng(0).random(500), torch.device("cpu")) / NOISE_DEVIATION
    )
    assert abs(numbers.mean()) < 0.01
    assert abs(numbers.std() - 1) < 0.01
    for limit in (0.5, 1.0, 1.5, 2.0):
        assert abs((numbers.abs() < limit).float().mean() - math.erf(limit / math.sqrt(2))) < 0.015
    assert 3 < numbers.max() < 3.5


def test_an_erased_rectangle_is_one_colour_and_within_its_area():
    out = augmented(torch.full((3, 40, 40), 300.0), erase=0.3, filtered=1.0)
    holes = (out < 300).any(dim=1)
    area = holes.float().mean(dim=(1, 2))
    assert area.max() <= 0.3
    assert area.max() > 0.27
    assert area.min() < 0.005
    for hole, image in zip(holes[:300], out[:300], strict=True):
        rows, columns = hole.any(dim=1), hole.any(dim=0)
        assert torch.equal(hole, rows[:, None] & columns)
        if hole.any():
            assert len(image[:, hole].unique(dim=1).T) == 1
    assert holes.any(dim=0).all()
    assert_reaches(out.amin(dim=(2, 3))[area > 0.01], 0, 255)
