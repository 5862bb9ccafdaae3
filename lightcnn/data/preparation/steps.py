"""The steps of a preparation on arrays: channels, background, square, local contrast. OpenCV is loaded if needed."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError

TILES = (8, 8)
"""CLAHE's grid of tiles: rows and columns."""
RED, GREEN, BLUE, SHIFT = 9798, 19235, 3735, 15
"""Weights of the luma (ITU-R BT.601) as OpenCV's RGB2GRAY has them: in units of 1 / 2**SHIFT."""
MAX_SIDE = 9_459
"""Side in pixels of the largest square with bars, which has as many pixels as the largest image that is decoded."""
Pixel = TypeVar("Pixel", bound=np.generic)


class PreparationSteps(Protocol):
    """Which steps an image goes through; `lightcnn.recipe.Preparation` describes their values."""

    @property
    def background(self) -> str: ...
    @property
    def fit(self) -> str: ...
    @property
    def clahe(self) -> float: ...


def require_opencv(steps: PreparationSteps) -> None:
    """Raises: InputError if a step needs OpenCV, and it is not installed."""
    if steps.background != "none":
        _opencv(f"background: {steps.background}")
    if steps.clahe:
        _opencv(f"clahe: {steps.clahe:g}")


def _opencv(step: str) -> Any:
    """The module cv2. Raises: InputError that names the step and the pip command."""
    try:
        import cv2
    except ImportError:
        raise InputError(
            f"preprocess.{step}: the step needs OpenCV, which is not installed; pip install opencv-python-headless"
        ) from None
    return cv2


def as_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """The image (H, W, C); a grey one is repeated to 3 channels if `channels` is 3."""
    return np.repeat(pixels, channels, axis=2) if pixels.shape[2] < channels else pixels


def with_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """A decoded image (H, W, 1 or 3) with the network's channels, (H, W, C)."""
    return as_channels(image, channels) if image.shape[2] <= channels else to_grey(image)


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma of an image (H, W, 3), as (H, W, 1): for every colour what OpenCV's RGB2GRAY returns."""
    red, green, blue = (image[..., [channel]].astype(np.uint32) for channel in range(3))
    return ((RED * red + GREEN * green + BLUE * blue + (1 << SHIFT - 1)) >> SHIFT).astype(np.uint8)


def square_object(image: NDArray[np.uint8], steps: PreparationSteps) -> NDArray[np.uint8]:
    """A decoded image (H, W, C) with its background removed, and fitted to a square, as the recipe says.

    Raises: InputError if the removal needs a package that is not installed.
    """
    if steps.background != "none":
        require_opencv(steps)
        from lightcnn.data.preparation.background import remove

        image = remove(image, steps.background)
    return to_square(image, steps.fit)


def to_square(image: NDArray[Pixel], fit: str) -> NDArray[Pixel]:
    """The image (H, W, C) unchanged (`stretch`), its middle square (`crop`), or a square with black bars (`pad`).

    Of an image with a side above `MAX_SIDE`, every second pixel is padded, or every third, and so on.
    """
    height, width = image.shape[:2]
    if fit == "stretch" or height == width:
        return image
    side = min(height, width) if fit == "crop" else max(height, width)
    top, left = abs(height - side) // 2, abs(width - side) // 2
    if fit == "crop":
        return image[top : top + side, left : left + side]
    if side > MAX_SIDE:
        step = -(-side // MAX_SIDE)
        return to_square(image[::step, ::step], fit)
    square = np.zeros((side, side, image.shape[2]), dtype=image.dtype)
    square[top : top + height, left : left + width] = image
    return square


def equalise(image: NDArray[np.uint8], clip_limit: float) -> NDArray[np.uint8]:
    """CLAHE (Zuiderveld, Graphics Gems IV, 1994) of an image (H, W, C); in colour, of the lightness in CIELAB.

    Raises: InputError if OpenCV is not installed.
    """
    cv2 = _opencv(f"clahe: {clip_limit:g}")
    equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=TILES)
    if image.shape[2] == 1:
        return np.asarray(equaliser.apply(image[..., 0]))[..., None]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
