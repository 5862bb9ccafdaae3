"""Changes to pixel values: sharpness, brightness, contrast, saturation, noise, and erased rectangles.

Images are float32 (N, C, H, W) on the scale 0..255. All operations are single products and sums, which round equally at
any position in a batch; batched convolutions and fused operations do not. Results are written into existing tensors if
possible: allocating memory costs several times as much as the arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.randomness import Draws
from lightcnn.recipe import Augment

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey image (ITU-R BT.601)."""


def filter_images(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Filters the share `filtered` of the images in place, and erases a rectangle in an equal, separate share."""
    rows = draws.chosen("filtered", settings.filtered * settings.filters)
    if len(rows):
        chosen = torch.from_numpy(rows).to(images.device)
        images.index_copy_(0, chosen, _filtered(images.index_select(0, chosen), settings, draws.at(rows)))
    rows = draws.chosen("erased", settings.filtered * bool(settings.erase))
    if len(rows):
        chosen = torch.from_numpy(rows).to(images.device)
        images.index_copy_(0, chosen, _erased(images.index_select(0, chosen), settings.erase, draws.at(rows)))
    return images


def _filtered(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Sharpness, then brightness and colour, then noise, in the order of a camera."""
    images = _colour(_detail(images, settings, draws), settings, draws)
    if settings.noise:
        strength = _column(settings.noise * 255 / NOISE_DEVIATION * draws["noise"], images)
        images.add_(noise(images.shape, draws["noise_key"], images.device).mul_(strength))
    return images.clamp_(0, 255)


def _detail(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Each image blurred or sharpened, never both: half of the images each if both are set."""
    share = bool(settings.sharpen) / (bool(settings.sharpen) + bool(settings.blur) or 1)
    is_sharpened = draws["sharpened"] < share
    for rows, function, limit in (
        (np.flatnonzero(is_sharpened), _sharpened, settings.sharpen),
        (np.flatnonzero(~is_sharpened), _blurred, settings.blur),
    ):
        if limit and len(rows):
            chosen = torch.from_numpy(rows).to(images.device)
            images.index_copy_(0, chosen, function(images.index_select(0, chosen), limit, draws.at(rows)))
    return images


def _blurred(images: Tensor, deviation: float, draws: Draws) -> Tensor:
    """Blurred by a Gaussian of up to `deviation` pixels, cut off at three deviations."""
    radius = min(math.ceil(3 * deviation), *images.shape[2:])
    sigma = np.maximum(deviation * draws["blur"], 1e-3)
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma[:, None]) ** 2)
    weights /= weights[:, :1] + 2 * weights[:, 1:].sum(axis=1, keepdims=True)
    return _smooth(_smooth(images, weights, 3), weights, 2)


def _sharpened(images: Tensor, alpha: float, draws: Draws) -> Tensor:
    """Blended with up to `alpha` of imgaug's kernel of lightness 1, [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]].

    That kernel is the image plus nine times its difference from the mean of the 3×3 pixels around each pixel.
    """
    thirds = np.full((len(images), 2), 1 / 3)
    edges = _smooth(_smooth(images, thirds, 3), thirds, 2).sub_(images)
    return edges.mul_(_column(-9 * alpha * draws["sharpen"], images)).add_(images)


def _smooth(images: Tensor, weights: NDArray[np.float64], axis: int) -> Tensor:
    """Weighted sums along one axis; `weights` (N, radius + 1) are those of the pixel itself, its neighbours, and so on.

    The image is mirrored at its border.
    """
    size, total, part = images.shape[axis], images * _column(weights[:, 0], images), torch.empty_like(images)
    for step in range(1, weights.shape[1]):
        torch.mul(images, _column(weights[:, step], images), out=part)
        total.narrow(axis, step, size - step).add_(part.narrow(axis, 0, size - step))
        total.narrow(axis, 0, size - step).add_(part.narrow(axis, step, size - step))
        for edge in (0, size - step):
            total.narrow(axis, edge, step).add_(part.narrow(axis, edge, step).flip(axis))
    return total


def _colour(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Saturation relative to the grey image, brightness to black, contrast to the middle of the scale."""
    if settings.saturation and images.shape[1] == 3:
        factor = 1 + settings.saturation * draws.signed("saturation")
        grey = images[:, :1] * GREY_WEIGHTS[0] + images[:, 1:2] * GREY_WEIGHTS[1] + images[:, 2:] * GREY_WEIGHTS[2]
        images = images.mul_(_column(factor, images)).add_(grey.mul_(_column(1 - factor, images)))
    if settings.brightness or settings.contrast:
        brightness, contrast = (1 + getattr(settings, name) * draws.signed(name) for name in ("brightness", "contrast"))
        images = images.mul_(_column(brightness * contrast, images)).add_(_column(127.5 * (1 - contrast), images))
    return images


NOISE_DEVIATION = math.sqrt(4 * (256**2 - 1) / 12)
"""Standard deviation of the sum of four uniform bytes."""


def noise(shape: torch.Size, keys: NDArray[np.float64], device: torch.device) -> Tensor:
    """Nearly normal numbers of mean 0 and deviation NOISE_DEVIATION: each is the sum of the four bytes of a hash.

    The hash is of an image's key, in [0, 1), and the pixel's position: lowbias32 (C. Wellons, nullprogram.com, 2018).
    All sums are of integers, so that all devices agree.
    """
    key = torch.from_numpy((keys * 2.0**32).astype(np.int64).astype(np.int32)).to(device).view(-1, 1, 1, 1)
    positions = torch.arange(math.prod(shape[1:]), dtype=torch.int32, device=device).view(1, *shape[1:])
    value = _mixed(positions) ^ key
    spare = torch.empty_like(value)
    _mixed(value, spare)
    torch.bitwise_right_shift(value, 8, out=spare).bitwise_and_(0x00FF00FF)
    pairs = value.bitwise_and_(0x00FF00FF).add_(spare)
    sums = torch.bitwise_right_shift(pairs, 16, out=spare).add_(pairs).bitwise_and_(0x3FF)
    return value.view(torch.float32).copy_(sums).sub_(510)


def _mixed(value: Tensor, spare: Tensor | None = None) -> Tensor:
    """32-bit integers, hashed in place; `spare` is overwritten."""
    spare = torch.empty_like(value) if spare is None else spare
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32), (16, 1)):
        # The shift copies the sign bit, which is masked out.
        torch.bitwise_right_shift(value, shift, out=spare).bitwise_and_(2 ** (32 - shift) - 1)
        value.bitwise_xor_(spare).mul_(factor)
    return value


def _erased(images: Tensor, area: float, draws: Draws) -> Tensor:
    """A rectangle of up to `area` of the image in one colour (arXiv:1708.04896; aspect ratio 0.3 to 3.3 as there)."""
    height, width = images.shape[2:]
    ratio = np.exp(np.log(3.3) * draws.signed("erase_ratio"))
    share = area * draws["erase"]
    tall = np.floor(height * np.minimum(np.sqrt(share * ratio), 1))
    wide = np.floor(width * np.minimum(np.sqrt(share / ratio), 1))
    top, left = np.floor((height - tall + 1) * draws["erase_y"]), np.floor((width - wide + 1) * draws["erase_x"])
    hole = inside(np.stack([top, top + tall, left, left + wide], axis=1).astype(np.int64), images)
    colours = np.stack([draws[name] for name in ("red", "green", "blue")[: images.shape[1]]], axis=1)
    return torch.where(hole, torch.from_numpy((255 * colours).astype(np.float32)).to(images)[:, :, None, None], images)


def inside(boxes: NDArray[np.int64], images: Tensor) -> Tensor:
    """bool (N, 1, H, W): true within each box (top, bottom, left, right), with bottom and right excluded."""
    edges = torch.from_numpy(boxes).to(images.device)[:, :, None]
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
    vertical = (rows >= edges[:, 0]) & (rows < edges[:, 1])
    horizontal = (columns >= edges[:, 2]) & (columns < edges[:, 3])
    return (vertical[:, :, None] & horizontal[:, None, :])[:, None]


def _column(values: NDArray[np.float64], images: Tensor) -> Tensor:
    """One number per image, (N, 1, 1, 1), on the device of the images."""
    return torch.from_numpy(values.astype(np.float32)).to(images.device).view(-1, 1, 1, 1)
