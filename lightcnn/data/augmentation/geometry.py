"""Geometric changes: whole-pixel shifts and mirroring of every image, interpolated changes of a share of them.

Interpolation blurs, and a network that is never trained on sharp images classifies them less accurately: so shifts are
whole pixels, and only the share `warped` is rotated, sheared, zoomed or cropped. Images are mirrored at their borders.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn.data.randomness import Draws
from lightcnn.recipe import Augment


def transform(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Images (N, C, H, W) → a new float32 tensor: shifted and mirrored, the share `warped` also interpolated."""
    transformed = _moved(images, settings, draws).to(torch.float32, copy=True)
    rows = draws.chosen("warped", settings.warped * settings.warps)
    if len(rows):
        chosen = torch.from_numpy(rows).to(images.device)
        transformed.index_copy_(0, chosen, _warped(images.index_select(0, chosen).float(), settings, draws.at(rows)))
    return transformed


def mirrored(coordinates: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Any coordinates mapped to 0..size-1 by mirroring at the outer edges: -1 → 0, `size` → size-1."""
    folded = coordinates % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def _moved(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Shifted by whole pixels and mirrored, without loss: rows are copied, columns gathered, in the images' type."""
    count, channels, height, width = images.shape
    down, right = _shifts(settings, draws, (height, width))
    if settings.flip_vertical or down.any():
        rows = _source_coordinates(height, down, settings.flip_vertical, draws["flip_vertical"])
        flat = (np.arange(count * channels)[:, None] * height + rows.repeat(channels, axis=0)).reshape(-1)
        chosen = torch.from_numpy(flat).to(images.device)
        images = images.reshape(-1, width).index_select(0, chosen).view(count, channels, height, width)
    if settings.flip or right.any():
        columns = torch.from_numpy(_source_coordinates(width, right, settings.flip, draws["flip"])).to(images.device)
        images = images.gather(3, columns[:, None, None, :].expand(images.shape))
    return images


def _source_coordinates(
    size: int, shift: NDArray[np.float64], flips: bool, draw: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The coordinate from which each pixel along an axis is read, (N, size)."""
    line = np.arange(size)
    lines = np.where((draw < 0.5)[:, None] & flips, line[::-1], line)
    return mirrored(lines + shift.astype(np.int64)[:, None], size)


def _shifts(settings: Augment, draws: Draws, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whole pixels down and to the right, (N,) each."""
    down = settings.shift if settings.shift_height is None else settings.shift_height
    return (
        np.rint(down * size[0] * draws.signed("shift_height")),
        np.rint(settings.shift * size[1] * draws.signed("shift")),
    )


def _warped(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Each image interpolated bilinearly through its own affine map."""
    height, width = images.shape[2:]
    maps = torch.from_numpy(_maps(settings, draws, (height, width)).astype(np.float32)).to(images.device)
    # Coordinates run from -1 to 1 over the image. Products and sums are computed one by one, since the rounding of a
    # matrix product depends on the size of the batch.
    across, along = (
        ((torch.arange(pixels, device=images.device) * 2 + 1) / pixels - 1).float() for pixels in (width, height)
    )
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    for axis in (0, 1):
        a, b, c = (maps[:, axis, column, None] for column in range(3))
        torch.add((a * across)[:, None, :], (b * along + c)[:, :, None], out=grid[..., axis])
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _maps(settings: Augment, draws: Draws, size: tuple[int, int]) -> NDArray[np.float64]:
    """Affine maps (N, 2, 3) from a position in the result to the position in the image from which it is read."""
    height, width = size
    angle = np.radians(settings.rotate) * draws.signed("rotate")
    shear = np.radians(settings.shear) * draws.signed("shear")
    side = np.sqrt(1 - settings.crop * draws["crop"])
    scale = (1 + settings.zoom * draws.signed("zoom")) * side
    mirror = np.where(draws["flip"] < 0.5, -1.0, 1.0) if settings.flip else 1.0
    mirror_vertical = np.where(draws["flip_vertical"] < 0.5, -1.0, 1.0) if settings.flip_vertical else 1.0
    down, right = _shifts(settings, draws, size)
    maps = np.empty((len(angle), 2, 3))
    maps[:, 0, 0] = scale * np.cos(angle) * mirror
    maps[:, 0, 1] = -scale * np.sin(angle + shear) * mirror_vertical * height / width
    maps[:, 1, 0] = scale * np.sin(angle) * mirror * width / height
    maps[:, 1, 1] = scale * np.cos(angle + shear) * mirror_vertical
    maps[:, 0, 2] = right * 2 / width + (1 - side) * draws.signed("crop_x")
    maps[:, 1, 2] = down * 2 / height + (1 - side) * draws.signed("crop_y")
    return maps
