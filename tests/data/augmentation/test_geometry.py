"""Geometric changes: each reaches both ends of its range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.augmentations import MANY, assert_reaches, augmented, random_images

from lightcnn.data.augmentation.geometry import mirrored


def ramp(size=32):
    """Three channels: a pixel's column, its row, and 0."""
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size), torch.zeros(size, size)])


def slopes(images):
    """(N, 2, 2): source columns and rows per step right and per step down, in the middle of augmented ramps."""
    middle = images.shape[-1] // 2
    centre = images[:, :2, middle, middle]
    return torch.stack([images[:, :2, middle, middle + 1] - centre, images[:, :2, middle + 1, middle] - centre], dim=2)


def test_a_flipped_image_is_the_image_reversed():
    image = random_images(1)[0]
    for changes, axes in (({"flip": True}, [2]), ({"flip_vertical": True}, [1])):
        out = augmented(image, np.arange(400), **changes)
        flipped = (out == image.flip(axes).float()).flatten(1).all(dim=1)
        assert ((out == image.float()).flatten(1).all(dim=1) ^ flipped).all()
        assert 160 < flipped.sum() < 240


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
    image = random_images(1)[0].float()
    out = augmented(image, np.arange(600), **changes)
    padded = np.pad(image.numpy(), ((0, 0), (8, 8), (8, 8)), mode="symmetric")
    shifts = set()
    for shifted in out.numpy():
        shifts.add(next(
            (y, x) for y in range(-down, down + 1) for x in range(-right, right + 1)
            if np.array_equal(shifted, padded[:, 8 + y : 24 + y, 8 + x : 24 + x])
        ))  # fmt: skip
    for axis, limit in ((0, down), (1, right)):
        assert {shift[axis] for shift in shifts} == set(range(-limit, limit + 1))


def test_mirroring_coordinates():
    assert mirrored(np.arange(-7, 7), 3).tolist() == [0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
    assert mirrored(np.arange(-3, 3), 1).tolist() == [0] * 6


def test_an_interpolated_shift_by_whole_pixels_agrees_with_a_copied_one():
    image, nearly = random_images(1, size=20)[0], {"rotate": 1e-9}
    given = {"shift": 0.3, "flip": True, "flip_vertical": True}
    torch.testing.assert_close(augmented(image, **given, **nearly), augmented(image, **given), rtol=0, atol=0.01)


def test_rotations_reach_their_limit_in_both_directions_and_keep_lengths():
    steps = slopes(augmented(ramp(), rotate=30.0))
    torch.testing.assert_close(steps.norm(dim=1), torch.ones(len(MANY), 2), rtol=0, atol=1e-3)
    assert_reaches(torch.atan2(steps[:, 1, 0], steps[:, 0, 0]).rad2deg(), -30, 30)


def test_shears_tilt_vertical_lines_and_keep_horizontal_ones():
    steps = slopes(augmented(ramp(), shear=20.0))
    torch.testing.assert_close(steps[:, :, 0], torch.tensor([1.0, 0.0]).expand(len(MANY), 2), rtol=0, atol=1e-3)
    assert_reaches(torch.atan2(steps[:, 0, 1], steps[:, 1, 1]).rad2deg(), -20, 20)


def test_zooms_reach_their_limit_in_both_directions():
    steps = slopes(augmented(ramp(), zoom=0.4))
    assert_reaches(steps[:, 0, 0], 0.6, 1.4)
    torch.testing.assert_close(steps[:, 0, 0], steps[:, 1, 1], rtol=0, atol=1e-3)


def test_crops_keep_the_rest_of_the_area_at_any_position():
    out = augmented(ramp(), crop=0.75)
    steps = slopes(out)
    assert_reaches(steps[:, 0, 0] * steps[:, 1, 1], 0.25, 1)
    small = out[steps[:, 0, 0] < 0.55]
    for axis in (0, 1):
        assert_reaches(small[:, axis].mean(dim=(1, 2)) / 31, 0.25, 0.75, share=0.15)
    # Nothing is mirrored: coordinates only grow.
    assert (small[:, 0].diff(dim=2) >= -1e-3).all()
    assert (small[:, 1].diff(dim=1) >= -1e-3).all()


def test_images_that_are_not_square_rotate_without_shear():
    line = torch.arange(48, dtype=torch.float32)
    image = torch.stack([line.expand(24, 48), line[:24, None].expand(24, 48), torch.zeros(24, 48)])
    out = augmented(image, np.arange(200), rotate=30.0)
    torch.testing.assert_close(
        (out[:, :2, 12, 25] - out[:, :2, 12, 24]).norm(dim=1), torch.ones(200), rtol=0, atol=1e-3
    )
