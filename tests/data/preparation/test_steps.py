"""The steps of a preparation without OpenCV, pydantic and torch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from helpers.imports import run_without

from lightcnn.data.preparation.resize import resize_array
from lightcnn.data.preparation.steps import to_grey, to_square, with_channels
from lightcnn.data.tensors import resize


def test_every_colour_has_the_grey_of_opencv() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 3, indexing="ij"), axis=-1).reshape(4096, -1, 3)
    for part in np.array_split(colours, 8):
        assert np.array_equal(to_grey(part)[..., 0], cv2.cvtColor(part, cv2.COLOR_RGB2GRAY))
    odd = np.ascontiguousarray(colours[:, 1:])  # vector instructions and the rest of a row
    assert np.array_equal(to_grey(odd[:64])[..., 0], cv2.cvtColor(odd[:64], cv2.COLOR_RGB2GRAY))


def test_a_grey_image_becomes_three_channels_and_a_fitting_one_stays() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert with_channels(grey, 1) is grey
    assert np.array_equal(with_channels(grey, 3), np.concatenate([grey] * 3, axis=2))


@pytest.mark.parametrize("shape", [(28, 28), (100, 77), (256, 341), (16, 16), (7, 300), (1, 1), (29, 27)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_resize_is_within_one_grey_level_of_torch(shape: tuple[int, int], channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, channels), dtype=np.uint8)
    ours, theirs = resize_array(image, (28, 28)), resize([image], 28)[0].movedim(0, 2).numpy()
    difference = np.abs(ours.astype(int) - theirs)
    assert ours.shape == (28, 28, channels)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02
    assert torch.equal(resize([ours], 28)[0], torch.from_numpy(ours).movedim(2, 0))


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("steps.equalise(np.zeros((8, 8, 1), np.uint8), 2.0)", "clahe: 2"),
        ("steps.square_object(np.zeros((8, 8, 1), np.uint8), Preparation('grabcut'))", "background: grabcut"),
        ("steps.require_opencv(Preparation('rembg'))", "background: rembg"),
    ],
)
def test_a_step_that_needs_opencv_is_refused_in_one_line_without_it(call: str, step: str) -> None:
    code = f"""
        from dataclasses import dataclass
        import numpy as np
        from lightcnn.data.preparation import steps
        from lightcnn.errors import InputError

        @dataclass
        class Preparation:
            background: str
            fit: str = "stretch"
            clahe: float = 0.0

        assert steps.square_object(np.zeros((8, 8, 1), np.uint8), Preparation("none")).shape == (8, 8, 1)
        try:
            {call}
        except InputError as error:
            print(error)
    """
    assert run_without(("cv2", "torch", "pydantic"), code) == (
        f"preprocess.{step}: the step needs OpenCV, which is not installed; pip install opencv-python-headless\n"
    )


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1, 1)])
def test_a_strip_is_not_padded_to_a_huge_square(shape: tuple[int, ...]) -> None:
    strip = np.full(shape, 9, np.uint8)
    square = to_square(strip, "pad")
    assert square.shape == (6_667, 6_667, shape[2])
    assert (square == 9).sum() == 6_667 * shape[2], "every third pixel, and black bars"
    assert to_square(strip, "stretch") is strip and to_square(strip, "crop").shape[:2] == (1, 1)
