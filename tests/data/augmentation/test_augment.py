"""Augmentation: each operation does what it says, up to both ends, and depends on (seed, epoch, index) only."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightcnn.cli.catalogue import check_file
from lightcnn.data.augmentation.augment import augment
from lightcnn.data.augmentation.batch import blend, mixes, soften, training_batch, training_images
from lightcnn.data.augmentation.filters import DEVIATION, bell, inside
from lightcnn.data.augmentation.geometry import mirrored
from lightcnn.data.contact_sheets import EPOCHS, GAP, TILE, augment_sheet, png, tile
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.randomness import COLUMN, NAMES, Draws, uniform
from lightcnn.engine.loop import fit, order
from lightcnn.network import build
from lightcnn.recipe import PRESETS, Augment, Optimisation, Recipe
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec

NONE = PRESETS["none"]
ALL = {
    "shift": 0.2, "shift_height": 0.1, "flip": True, "flip_vertical": True, "rotate": 20.0, "zoom": 0.2, "shear": 10.0,
    "crop": 0.3, "sharpen": 0.5, "blur": 1.2, "brightness": 0.3, "contrast": 0.3, "saturation": 0.5, "noise": 0.1,
    "erase": 0.3,
}  # fmt: skip
MIXES = {"mixup": 0.4, "cutmix": 1.0}
MANY = np.arange(3000)


def settings(**changes):
    """Nothing but `changes`, on every image."""
    return Augment(**(dict(NONE) | {"warped": 1.0, "filtered": 1.0} | changes))


def picture(count, channels=3, size=16, seed=0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (count, channels, size, size), dtype=np.uint8))


def drawn(image, indices=MANY, seed=0, epoch=0, **changes):
    """One image (C, H, W), augmented anew for each index."""
    many = image[None].expand(len(indices), *image.shape)
    return augment(many, settings(**changes), seed, epoch, indices)


def ramp(size=32):
    """Two channels: a pixel's column, and its row."""
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size), torch.zeros(size, size)])


def slopes(images):
    """(N, 2, 2) in the middle of augmented ramps: how far a step right and a step down go, across and along."""
    middle = images.shape[-1] // 2
    centre = images[:, :2, middle, middle]
    return torch.stack([images[:, :2, middle, middle + 1] - centre, images[:, :2, middle + 1, middle] - centre], dim=2)


def assert_reaches(values, low, high, share=0.02):
    """All values within [low, high], and some within `share` of both ends."""
    room = share * (high - low)
    assert low - 1e-3 * (high - low) <= values.min() <= low + room, (values.min(), low)
    assert high - room <= values.max() <= high + 1e-3 * (high - low), (values.max(), high)


def test_the_operations_tested_here_are_all_there_are():
    shares = {"warped", "filtered"}
    assert set(Augment.model_fields) == ALL.keys() | MIXES.keys() | shares
    for name, field in Augment.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [11, 32])
def test_an_image_is_the_same_bit_for_bit_in_any_batch(channels, size):
    images, index = picture(61, channels, size), np.arange(61)
    whole = augment(images, settings(**ALL), 1, 2, index)
    for chosen in (index[::-1].copy(), index[7:8], index[:60], index[13:30], np.array([60, 3, 3])):
        part = augment(images[torch.from_numpy(chosen)], settings(**ALL), 1, 2, chosen)
        assert torch.equal(part, whole[torch.from_numpy(chosen)])


@pytest.mark.parametrize("name", ALL)
def test_every_operation_alone_is_the_same_bit_for_bit_in_any_batch(name):
    images, index = picture(40, 3, 19), np.arange(40)
    one = settings(**{name: ALL[name]})
    whole = augment(images, one, 5, 6, index)
    single = torch.cat([augment(images[i : i + 1], one, 5, 6, index[i : i + 1]) for i in index])
    assert torch.equal(whole, single)
    assert not torch.equal(whole, images.float())


def test_mixed_images_and_targets_are_the_same_bit_for_bit_in_any_batch():
    images, index = picture(50), np.arange(50)
    labels, given = torch.from_numpy(index % 7), {"settings": settings(**ALL, **MIXES), "seed": 3, "epoch": 4}
    rule = Preprocess(
        size=16, channels=3, shorter_side=256, mean=(0.4, 0.5, 0.6), deviation=(0.2,) * 3, classes=tuple("abcdefg")
    )
    whole, targets = training_batch(images, labels, index, preprocess=rule, **given)
    for chosen in (index[::-1].copy(), index[7:8], index[11:34]):
        part, some = training_batch(images, labels, chosen, preprocess=rule, **given)
        rows = torch.from_numpy(chosen)
        assert torch.equal(part, whole[rows])
        assert torch.equal(some, targets[rows])


def test_seed_epoch_and_index_change_what_is_drawn():
    images, index = picture(6), np.arange(6)
    for changes in (*({name: value} for name, value in ALL.items()), *({name: value} for name, value in MIXES.items())):
        given = {"settings": settings(**changes)}
        one = training_images(images, index, seed=1, epoch=2, **given)[0]
        assert torch.equal(training_images(images, index, seed=1, epoch=2, **given)[0], one)
        for seed, epoch in ((9, 2), (1, 9)):
            assert not torch.equal(training_images(images, index, seed=seed, epoch=epoch, **given)[0], one), changes
    same = drawn(images[0], np.arange(20), **ALL)
    assert len({row.numpy().tobytes() for row in same}) == 20


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_set_changes_nothing_and_never_the_callers_images(channels):
    images = picture(9, channels)
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
def test_the_strongest_settings_stay_on_the_scale_and_are_numbers(size, channels):
    strongest = {"shift": 0.5, "rotate": 180.0, "zoom": 0.99, "shear": 45.0, "crop": 0.95, "sharpen": 1.0, "blur": 10.0,
                 "brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "noise": 1.0, "erase": 1.0}  # fmt: skip
    images = picture(200, channels, size)
    given = settings(**(ALL | strongest), mixup=100.0, cutmix=0.01)
    out, mix = training_images(images, np.arange(200), settings=given, seed=0, epoch=0)
    assert out.shape == images.shape
    assert torch.isfinite(out).all()
    # Interpolating and mixing may round one last bit over.
    assert out.min() >= -1e-3
    assert out.max() <= 255 + 1e-3
    assert np.isfinite(mix.weights).all()


def test_a_flipped_image_is_the_image_reversed():
    image = picture(1)[0]
    for changes, axes in (({"flip": True}, [2]), ({"flip_vertical": True}, [1])):
        out = drawn(image, np.arange(400), **changes)
        turned = (out == image.flip(axes).float()).flatten(1).all(dim=1)
        assert ((out == image.float()).flatten(1).all(dim=1) ^ turned).all()
        assert 160 < turned.sum() < 240


@pytest.mark.parametrize(
    ("changes", "right", "down"),
    [
        ({"shift": 0.25}, 4, 4),
        ({"shift": 0.25, "shift_height": 0.0}, 4, 0),
        ({"shift_height": 0.25}, 0, 4),
        ({"shift": 0.125, "shift_height": 0.5}, 2, 8),
    ],
)
def test_shifts_are_whole_pixels_up_to_the_limit_mirrored_at_the_border(changes, right, down):
    image = picture(1)[0].float()
    out = drawn(image, np.arange(600), **changes)
    padded = np.pad(image.numpy(), ((0, 0), (8, 8), (8, 8)), mode="symmetric")
    seen = set()
    for one in out.numpy():
        seen.add(next(
            (y, x) for y in range(-down, down + 1) for x in range(-right, right + 1)
            if np.array_equal(one, padded[:, 8 + y : 24 + y, 8 + x : 24 + x])
        ))  # fmt: skip
    for axis, limit in ((0, down), (1, right)):
        assert {place[axis] for place in seen} == set(range(-limit, limit + 1))


def test_mirroring_coordinates():
    assert mirrored(np.arange(-7, 7), 3).tolist() == [0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
    assert mirrored(np.arange(-3, 3), 1).tolist() == [0] * 6


def test_an_interpolated_whole_pixel_shift_agrees_with_the_copied_one():
    image, nearly = picture(1, size=20)[0], {"rotate": 1e-9}
    given = {"shift": 0.3, "flip": True, "flip_vertical": True}
    torch.testing.assert_close(drawn(image, **given, **nearly), drawn(image, **given), rtol=0, atol=0.01)


def test_rotations_reach_their_limit_both_ways_and_keep_lengths():
    steps = slopes(drawn(ramp(), rotate=30.0))
    torch.testing.assert_close(steps.norm(dim=1), torch.ones(len(MANY), 2), rtol=0, atol=1e-3)
    assert_reaches(torch.atan2(steps[:, 1, 0], steps[:, 0, 0]).rad2deg(), -30, 30)


def test_shears_tilt_what_is_upright_and_leave_what_is_level():
    steps = slopes(drawn(ramp(), shear=20.0))
    torch.testing.assert_close(steps[:, :, 0], torch.tensor([1.0, 0.0]).expand(len(MANY), 2), rtol=0, atol=1e-3)
    assert_reaches(torch.atan2(steps[:, 0, 1], steps[:, 1, 1]).rad2deg(), -20, 20)


def test_zooms_reach_their_limit_both_ways():
    steps = slopes(drawn(ramp(), zoom=0.4))
    assert_reaches(steps[:, 0, 0], 0.6, 1.4)
    torch.testing.assert_close(steps[:, 0, 0], steps[:, 1, 1], rtol=0, atol=1e-3)


def test_crops_keep_at_least_the_rest_of_the_area_anywhere_inside():
    out = drawn(ramp(), crop=0.75)
    steps = slopes(out)
    assert_reaches(steps[:, 0, 0] * steps[:, 1, 1], 0.25, 1)
    small = out[steps[:, 0, 0] < 0.55]
    for axis in (0, 1):
        assert_reaches(small[:, axis].mean(dim=(1, 2)) / 31, 0.25, 0.75, share=0.15)
    # No mirror image comes in: coordinates only grow.
    assert (small[:, 0].diff(dim=2) >= -1e-3).all()
    assert (small[:, 1].diff(dim=1) >= -1e-3).all()


def test_pictures_that_are_not_square_turn_without_shear():
    line = torch.arange(48, dtype=torch.float32)
    image = torch.stack([line.expand(24, 48), line[:24, None].expand(24, 48), torch.zeros(24, 48)])
    out = drawn(image, np.arange(200), rotate=30.0)
    torch.testing.assert_close(
        (out[:, :2, 12, 25] - out[:, :2, 12, 24]).norm(dim=1), torch.ones(200), rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_only_the_share_that_is_warped_is_warped_and_only_the_share_that_is_filtered_is_filtered(share):
    image = picture(1)[0]
    for changes in (
        {"warped": share, "rotate": 30.0}, {"filtered": share, "contrast": 0.5}, {"filtered": share, "erase": 1.0}
    ):  # fmt: skip
        changed = (drawn(image, **changes) != image).flatten(1).any(dim=1).float().mean()
        assert abs(changed - share) < 0.05


def energy(images):
    return images.diff(dim=-1).square().mean(dim=(1, 2, 3)) + images.diff(dim=-2).square().mean(dim=(1, 2, 3))


def test_blur_takes_detail_away_and_keeps_the_mean():
    # Little contrast, so that nothing is clamped.
    image = picture(1).float()[0] / 4 + 90
    out = drawn(image, blur=2.0)
    ratio = energy(out) / energy(image[None])
    assert ratio.max() <= 1.0001
    assert ratio.max() > 0.99
    assert ratio.min() < 0.03
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), image.mean().expand(len(out)), rtol=2e-2, atol=0)


def test_blur_is_a_gaussian_of_at_most_its_deviation():
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 255
    out = drawn(point, blur=2.0)[:, 0] / 255
    torch.testing.assert_close(out.sum(dim=(1, 2)), torch.ones(len(out)), rtol=0, atol=1e-4)
    places = torch.arange(41) - 20.0
    for line in (out.sum(dim=1), out.sum(dim=2)):
        # The pixels' own width shows below half a pixel; cutting off at three deviations takes 1.5 % of the widest.
        assert_reaches((line * places.square()).sum(dim=1).sqrt(), 0, 2, share=0.03)


def test_sharpening_adds_detail_and_is_imgaugs_kernel():
    image = picture(1).float()[0] / 8 + 110
    out = drawn(image, sharpen=0.2)
    ratio = energy(out) / energy(image[None])
    assert ratio.min() > 0.999
    assert ratio.max() > 5
    alpha = 0.2 * Draws.of(0, 0, MANY)["sharpen"]
    kernel = torch.full((3, 1, 3, 3), -1.0)
    kernel[:, :, 1, 1] = 9
    sharp = torch.nn.functional.conv2d(image[None], kernel, groups=3)
    wanted = image[None, :, 1:-1, 1:-1] + torch.from_numpy(alpha).float().view(-1, 1, 1, 1) * (
        sharp - image[None, :, 1:-1, 1:-1]
    )
    torch.testing.assert_close(out[..., 1:-1, 1:-1], wanted, rtol=0, atol=0.02)


def test_half_of_the_images_are_sharpened_where_the_others_are_blurred():
    image = picture(1).float()[0] / 8 + 110
    ratio = energy(drawn(image, sharpen=0.2, blur=1.0)) / energy(image[None])
    assert 0.45 < (ratio > 1).float().mean() < 0.55


def test_brightness_is_a_factor_within_its_limit():
    out = drawn(torch.full((3, 4, 4), 100.0), brightness=0.4)
    assert_reaches(out.mean(dim=(1, 2, 3)), 60, 140)


def test_contrast_is_a_factor_of_the_distance_from_the_middle():
    image = torch.tensor([77.5, 127.5, 177.5]).view(1, 1, 3).expand(3, 3, 3)
    out = drawn(image, contrast=0.4)
    torch.testing.assert_close(out[:, :, :, 1], torch.full((len(MANY), 3, 3), 127.5), rtol=0, atol=1e-3)
    assert_reaches(out[:, 0, 0, 2] - out[:, 0, 0, 0], 60, 140)


def test_saturation_keeps_grey_and_brightness():
    image = torch.tensor([120.0, 100.0, 80.0]).view(3, 1, 1).expand(3, 4, 4)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    out = drawn(image, saturation=0.5)
    grey = (image * weights).sum(dim=0)
    torch.testing.assert_close((out * weights[None]).sum(dim=1), grey.expand(len(MANY), 4, 4), rtol=0, atol=1e-2)
    assert_reaches(out[:, 0, 0, 0] - out[:, 2, 0, 0], 20, 60)
    for neutral in (torch.full((3, 4, 4), 90.0), picture(1, 1)[0].float()):
        torch.testing.assert_close(
            drawn(neutral, saturation=0.9), neutral.expand(3000, *neutral.shape), rtol=0, atol=1e-3
        )


def test_noise_has_the_deviation_it_says_and_no_pattern():
    out = drawn(torch.full((3, 32, 32), 127.5), noise=0.1) - 127.5
    deviation = out.std(dim=(1, 2, 3)) / 255
    # Of 3,072 numbers a deviation is known to 1.3 %.
    wanted = torch.from_numpy(0.1 * Draws.of(0, 0, MANY)["noise"]).float()
    torch.testing.assert_close(deviation, wanted, rtol=0.06, atol=1e-6)
    assert_reaches(wanted, 0, 0.1)
    scaled = out[out.std(dim=(1, 2, 3)) > 5]
    scaled = scaled / scaled.std(dim=(1, 2, 3), keepdim=True)
    # Means of 3,072 numbers deviate by 0.018, of all of them by hardly anything.
    assert scaled.mean(dim=(1, 2, 3)).abs().max() < 0.09
    assert scaled.mean(dim=0).abs().max() < 0.11
    for axis in (1, 2, 3):
        neighbours = (
            scaled.narrow(axis, 1, scaled.shape[axis] - 1) * scaled.narrow(axis, 0, scaled.shape[axis] - 1)
        ).mean()
        assert abs(neighbours) < 0.003
    assert abs((scaled[1:] * scaled[:-1]).mean()) < 0.003


def test_noise_is_nearly_normal():
    numbers = bell(torch.Size((500, 1, 32, 32)), np.random.default_rng(0).random(500), torch.device("cpu")) / DEVIATION
    assert abs(numbers.mean()) < 0.01
    assert abs(numbers.std() - 1) < 0.01
    for limit in (0.5, 1.0, 1.5, 2.0):
        assert abs((numbers.abs() < limit).float().mean() - math.erf(limit / math.sqrt(2))) < 0.015
    assert 3 < numbers.max() < 3.5


def test_an_erased_rectangle_is_one_colour_and_within_its_area():
    out = drawn(torch.full((3, 40, 40), 300.0), erase=0.3, filtered=1.0)
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


def test_mixup_is_a_convex_mixture_of_pixels_and_targets():
    images, index = picture(50), np.arange(50)
    labels = torch.from_numpy(index % 5)
    given = settings(mixup=0.5)
    mixed, mix = training_images(images, index, settings=given, seed=0, epoch=0)
    weight = torch.from_numpy(mix.weights).float().view(-1, 1, 1, 1)
    other = images[torch.from_numpy(mix.partners)].float()
    torch.testing.assert_close(mixed, weight * images + (1 - weight) * other, rtol=0, atol=1e-3)
    assert not mix.boxes.any()
    targets = soften(labels, labels[torch.from_numpy(mix.partners)], mix.weights, 5)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(50), rtol=0, atol=1e-6)
    different = torch.from_numpy(index % 5 != mix.partners % 5)
    assert different.sum() > 20
    torch.testing.assert_close(
        targets.gather(1, labels[:, None])[different, 0], weight.flatten()[different], rtol=0, atol=1e-6
    )


def test_cutmix_shows_the_partner_on_the_area_that_the_target_says():
    dark, bright = torch.zeros(400, 1, 24, 24), torch.full((400, 1, 24, 24), 255.0)
    mix = mixes(settings(cutmix=1.0), 0, 0, np.arange(400), count=400, size=(24, 24))
    out = blend(dark, bright, mix)
    np.testing.assert_allclose(out.mean(dim=(1, 2, 3)).numpy() / 255, 1 - mix.weights, atol=1e-6)
    assert set(out.unique().tolist()) == {0, 255}
    assert mix.weights.min() < 0.1
    assert mix.weights.max() > 0.97
    np.testing.assert_array_equal((out[:, 0] > 0).numpy(), inside(mix.boxes, out)[:, 0].numpy())


def test_where_both_are_set_half_of_the_images_get_each():
    mix = mixes(settings(cutmix=1.0, mixup=1.0), 0, 0, MANY, count=100, size=(64, 64))
    assert 0.45 < mix.boxes.any(axis=1).mean() < 0.52
    assert set(mix.partners.tolist()) == set(range(100))


@pytest.mark.parametrize("alpha", [1e-9, 100.0])
def test_extreme_alphas_give_shares(alpha):
    for given in (settings(mixup=alpha), settings(cutmix=alpha)):
        weights = mixes(given, 0, 0, MANY, count=9, size=(8, 8)).weights
        assert weights.min() >= 0
        assert weights.max() <= 1


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_are_of_the_beta_distribution(alpha):
    weights = mixes(settings(mixup=alpha), 0, 0, np.arange(20_000), count=9, size=(8, 8)).weights
    assert abs(weights.mean() - 0.5) < 0.01
    assert abs(weights.var() - 1 / (4 * (2 * alpha + 1))) < 0.005
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_a_partner_is_augmented_as_it_is_itself():
    images, index = picture(30), np.arange(30)
    given = settings(rotate=30.0, noise=0.1, cutmix=1.0)
    mixed, mix = training_images(images, index, settings=given, seed=0, epoch=0)
    alone = augment(images, given, 0, 0, index)
    shown = inside(mix.boxes, mixed)
    assert shown.any()
    assert torch.equal(mixed, torch.where(shown, alone[torch.from_numpy(mix.partners)], alone))


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_training_takes_mixed_targets(output):
    random, labels = np.random.default_rng(0), np.arange(97) % 2
    images = torch.from_numpy(
        (random.integers(0, 120, (97, 1, 8, 8)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    )
    rule = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright"))
    spec = NetworkSpec(
        input=(1, 8, 8), stages=(ConvBlock(width=6), ConvBlock(width=8)), classes=2, head=HeadSpec(output=output)
    )
    losses = {}
    for name, given in (("plain", NONE), ("mixed", settings(mixup=1.0, cutmix=1.0))):
        epochs = []
        fit(
            build(spec, 0), images, torch.from_numpy(labels), preprocess=rule,
            settings=Optimisation(epochs=6, batch=16), augmentation=given, seed=0, on_epoch=epochs.append,
        )  # fmt: skip
        losses[name] = [epoch.loss for epoch in epochs]
        assert losses[name][-1] < losses[name][0]
    assert losses["plain"][-1] < 0.2
    # Mixed labels keep their own entropy: no network gets below it.
    assert 0.2 < losses["mixed"][-1] < 0.65


def test_labels_stay_labels_where_nothing_is_mixed():
    rule = Preprocess(size=16, channels=3, shorter_side=256, mean=(0.5,) * 3, deviation=(0.25,) * 3, classes=("a", "b"))
    images, labels = picture(8), torch.arange(8) % 2
    inputs, targets = training_batch(images, labels, np.array([5, 2]), settings=NONE, seed=0, epoch=0, preprocess=rule)
    assert torch.equal(inputs, rule.normalise(images[[5, 2]]))
    assert targets.tolist() == [1, 0]


def test_uniform_numbers_are_uniform_and_in_range():
    draws = uniform(0, 0, np.arange(20_000), len(NAMES))
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(draws.T) - np.eye(len(NAMES))).max() < 0.03


def test_every_draw_has_its_own_column_and_the_first_keep_theirs():
    assert len(COLUMN) == len(NAMES)
    # The columns of the first release: a recipe repeats its run only while they stay.
    assert NAMES[:8] == ("rotate", "shear", "zoom", "flip", "shift", "shift_height", "warped", "order")


def test_whom_an_epoch_warps_has_nothing_to_do_with_its_order():
    warped = Draws.of(0, 3, MANY)["warped"][order(len(MANY), 0, 3)] < 0.5
    assert abs(warped[:1500].mean() - warped[1500:].mean()) < 0.06


def test_the_presets():
    assert list(PRESETS) == ["none", "light", "keras", "imgaug", "paper"]
    assert not (NONE.warps or NONE.filters or NONE.mixes or NONE.shift or NONE.flip)
    assert PRESETS["light"] == Augment(flip=True)
    own = {name: value for name, value in PRESETS["imgaug"] if value != getattr(NONE, name)}
    assert PRESETS["paper"] == PRESETS["keras"].model_copy(update=own)
    on = {name for name, value in PRESETS["keras"] if value and name not in ("warped", "filtered")}
    assert on == {"rotate", "shift", "shear", "flip"}
    on = {name for name, value in PRESETS["imgaug"] if value and name not in ("warped", "filtered")}
    assert on == {"sharpen", "brightness", "contrast", "blur", "noise"}
    images = picture(20)
    for name, preset in PRESETS.items():
        assert torch.equal(augment(images, preset, 0, 0, np.arange(20)), images.float()) == (name == "none")


def test_the_schema_knows_the_presets():
    schema = Recipe.model_json_schema()["properties"]["augment"]
    (names,) = [part["enum"] for part in schema["anyOf"] if "enum" in part]
    assert names == list(PRESETS)


RECIPE = "data: digits\naugment: {}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], classes: 10}}\n"


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_may_name_its_preset_and_shows_its_values(name, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(name), encoding="utf-8")
    assert check_file(file) == {"file": str(file), "kind": "recipe", "errors": []}
    recipe = Recipe.load(file)
    assert recipe.augment == PRESETS[name]
    recipe.save(tmp_path / "resolved.yaml")
    text = (tmp_path / "resolved.yaml").read_text(encoding="utf-8")
    assert all(f"{field}: " in text for field in Augment.model_fields)
    assert Recipe.load(tmp_path / "resolved.yaml") == recipe


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("papr", "augment: 'papr' is not one of none, light, keras, imgaug, paper; did you mean 'paper'?"),
        ("strong", "augment: 'strong' is not one of none, light, keras, imgaug, paper"),
        ("3", "augment: input should be an object, not 3"),
        ("{rotat: 3}", "augment.rotat: unknown key 'rotat' (value 3); did you mean 'rotate'?"),
        ("{blur: 11}", "augment.blur: input should be less than or equal to 10, not 11"),
        ("{flip: 1}", "augment.flip: input should be a valid boolean, not 1"),
        ("{noise: -0.1}", "augment.noise: input should be greater than or equal to 0, not -0.1"),
    ],
)
def test_a_faulty_augmentation_is_one_line(given, message, tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(given), encoding="utf-8")
    assert check_file(file)["errors"] == [f"{file}:2: {message}"]


def test_a_sheet_shows_the_originals_and_what_becomes_of_them():
    images = [np.full((30, 40, 3), 200, dtype=np.uint8), np.zeros((64, 64, 3), dtype=np.uint8)]
    sheet = augment_sheet(images, settings(brightness=0.5), 0)
    step = TILE + GAP
    assert sheet.shape == (2 * step - GAP, (1 + EPOCHS) * step - GAP, 3)
    assert sheet.dtype == np.uint8
    middles = sheet[TILE // 2 :: step, TILE // 2 :: step, 0]
    assert middles.shape == (2, 1 + EPOCHS)
    assert middles[0, 0] == 200
    assert len(set(middles[0].tolist())) > 4
    assert set(middles[1].tolist()) == {0}
    assert (sheet[TILE : TILE + GAP] == 255).all()
    with Image.open(io.BytesIO(png(sheet))) as read:
        np.testing.assert_array_equal(np.asarray(read), sheet)
    grey = augment_sheet([np.zeros((8, 8, 1), dtype=np.uint8)], settings(mixup=1.0, noise=0.2), 0, size=8)
    assert grey.shape == (TILE, (1 + EPOCHS) * step - GAP, 3)


def test_tiles_keep_their_shape_and_the_rest_is_white():
    sheet = tile(
        [np.zeros((20, 10, 1), np.uint8), np.full((4, 4, 3), 9, np.uint8), np.zeros((1, 300, 3), np.uint8)], 2, 40
    )
    assert sheet.shape == (82, 82, 3)
    assert (sheet[:40, :40, 0] == 0).sum() == 40 * 20
    assert (sheet[:40, 42:] == 9).all()
    assert (sheet[42:, :40, 0] == 0).sum() == 40
    assert (sheet[42:, 42:] == 255).all()
