"""What the pixels become: sharper or softer, another brightness, contrast and saturation, noise, a rectangle erased.

Images are float32 (N, C, H, W) on the scale 0..255. Everything is made of single products and sums, which round alike
wherever a pixel stands in a batch; batched convolutions and fused operations do not. Results go into tensors that are
there already wherever that is possible: memory asked for anew costs several times the arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.randomness import Draws
from lightcnn.recipe import Augment

GREY = (0.299, 0.587, 0.114)
"""How much of red, green and blue a grey picture shows (ITU-R BT.601)."""


def change(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """The share `filtered` of the images filtered in place, and of as many, drawn by themselves, a rectangle erased."""
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
    """Sharpness, then light and colour, then noise, as a camera adds them."""
    images = _colour(_detail(images, settings, draws), settings, draws)
    if settings.noise:
        strength = _column(settings.noise * 255 / DEVIATION * draws["noise"], images)
        images.add_(bell(images.shape, draws["noise_key"], images.device).mul_(strength))
    return images.clamp_(0, 255)


def _detail(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Each image softer or sharper, never both: half of them each where both are set."""
    share = bool(settings.sharpen) / (bool(settings.sharpen) + bool(settings.blur) or 1)
    sharper = draws["sharpened"] < share
    for rows, function, limit in (
        (np.flatnonzero(sharper), _sharpened, settings.sharpen),
        (np.flatnonzero(~sharper), _blurred, settings.blur),
    ):
        if limit and len(rows):
            chosen = torch.from_numpy(rows).to(images.device)
            images.index_copy_(0, chosen, function(images.index_select(0, chosen), limit, draws.at(rows)))
    return images


def _blurred(images: Tensor, deviation: float, draws: Draws) -> Tensor:
    """Under a Gaussian of up to `deviation` pixels, cut off at three deviations."""
    radius = min(math.ceil(3 * deviation), *images.shape[2:])
    sigma = np.maximum(deviation * draws["blur"], 1e-3)
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma[:, None]) ** 2)
    weights /= weights[:, :1] + 2 * weights[:, 1:].sum(axis=1, keepdims=True)
    return _smooth(_smooth(images, weights, 3), weights, 2)


def _sharpened(images: Tensor, alpha: float, draws: Draws) -> Tensor:
    """Up to `alpha` of imgaug's kernel of lightness 1, [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], the rest as it was.

    That kernel is the image plus nine times its difference from the mean of the 3×3 around each pixel.
    """
    thirds = np.full((len(images), 2), 1 / 3)
    edges = _smooth(_smooth(images, thirds, 3), thirds, 2).sub_(images)
    return edges.mul_(_column(-9 * alpha * draws["sharpen"], images)).add_(images)


def _smooth(images: Tensor, weights: NDArray[np.float64], axis: int) -> Tensor:
    """Weighted sums along one axis; `weights` (N, radius + 1) of the pixel itself, its neighbours, and so on.

    The image goes on as its mirror image beyond the border.
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
    """Saturation about the grey picture, brightness about black, contrast about the middle of the scale."""
    if settings.saturation and images.shape[1] == 3:
        factor = 1 + settings.saturation * draws.signed("saturation")
        grey = images[:, :1] * GREY[0] + images[:, 1:2] * GREY[1] + images[:, 2:] * GREY[2]
        images = images.mul_(_column(factor, images)).add_(grey.mul_(_column(1 - factor, images)))
    if settings.brightness or settings.contrast:
        brightness, contrast = (1 + getattr(settings, name) * draws.signed(name) for name in ("brightness", "contrast"))
        images = images.mul_(_column(brightness * contrast, images)).add_(_column(127.5 * (1 - contrast), images))
    return images


DEVIATION = math.sqrt(4 * (256**2 - 1) / 12)
"""Of the sum of four uniform bytes."""


def bell(shape: torch.Size, keys: NDArray[np.float64], device: torch.device) -> Tensor:
    """Nearly normal numbers of mean 0 and deviation `DEVIATION`: each the sum of the four bytes of a hash.

    The hash is of an image's key, in [0, 1), and the place of the pixel: lowbias32 (C. Wellons, nullprogram.com, 2018).
    All sums are of integers, so every device has the same.
    """
    key = torch.from_numpy((keys * 2.0**32).astype(np.int64).astype(np.int32)).to(device).view(-1, 1, 1, 1)
    places = torch.arange(math.prod(shape[1:]), dtype=torch.int32, device=device).view(1, *shape[1:])
    value = _mixed(places) ^ key
    spare = torch.empty_like(value)
    _mixed(value, spare)
    torch.bitwise_right_shift(value, 8, out=spare).bitwise_and_(0x00FF00FF)
    pairs = value.bitwise_and_(0x00FF00FF).add_(spare)
    sums = torch.bitwise_right_shift(pairs, 16, out=spare).add_(pairs).bitwise_and_(0x3FF)
    return value.view(torch.float32).copy_(sums).sub_(510)


def _mixed(value: Tensor, spare: Tensor | None = None) -> Tensor:
    """Integers of 32 bits, well mixed in place; `spare` is overwritten."""
    spare = torch.empty_like(value) if spare is None else spare
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32), (16, 1)):
        # A shift keeps the sign, which is masked out.
        torch.bitwise_right_shift(value, shift, out=spare).bitwise_and_(2 ** (32 - shift) - 1)
        value.bitwise_xor_(spare).mul_(factor)
    return value


def _erased(images: Tensor, area: float, draws: Draws) -> Tensor:
    """A rectangle of up to `area` of the image in one colour (arXiv:1708.04896; aspect 0.3 to 3.3 as there)."""
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
    """(N, 1, H, W): true within each box of (top, bottom, left, right), the ends not."""
    edges = torch.from_numpy(boxes).to(images.device)[:, :, None]
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
    vertical = (rows >= edges[:, 0]) & (rows < edges[:, 1])
    horizontal = (columns >= edges[:, 2]) & (columns < edges[:, 3])
    return (vertical[:, :, None] & horizontal[:, None, :])[:, None]


def _column(values: NDArray[np.float64], images: Tensor) -> Tensor:
    """A number for each image, (N, 1, 1, 1), beside the images."""
    return torch.from_numpy(values.astype(np.float32)).to(images.device).view(-1, 1, 1, 1)
