"""Where the pixels go: whole-pixel shifts and mirroring for every image, interpolation for a share of them.

Between pixels there is only interpolation, which blurs, and a network that never meets sharp images is worse on them:
so shifts are whole pixels, and only the share `warped` is rotated, sheared, zoomed or cropped. What comes in over the
border is the image's mirror image.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn.data.randomness import Draws
from lightcnn.recipe import Augment


def place(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Images (N, C, H, W) → a new float32 tensor: shifted and mirrored, the share `warped` also interpolated."""
    placed = _moved(images, settings, draws).to(torch.float32, copy=True)
    rows = draws.chosen("warped", settings.warped * settings.warps)
    if len(rows):
        chosen = torch.from_numpy(rows).to(images.device)
        placed.index_copy_(0, chosen, _warped(images.index_select(0, chosen).float(), settings, draws.at(rows)))
    return placed


def mirrored(coordinates: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Coordinates of any size to 0..size-1, as between two mirrors on the outer edges: -1 is 0, `size` is size-1."""
    folded = coordinates % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def _moved(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Whole pixels only, so nothing is lost; rows are copied, columns gathered, in the images' own type."""
    count, channels, height, width = images.shape
    down, right = _shifts(settings, draws, (height, width))
    if settings.flip_vertical or down.any():
        rows = _sources(height, down, settings.flip_vertical, draws["flip_vertical"])
        flat = (np.arange(count * channels)[:, None] * height + rows.repeat(channels, axis=0)).reshape(-1)
        chosen = torch.from_numpy(flat).to(images.device)
        images = images.reshape(-1, width).index_select(0, chosen).view(count, channels, height, width)
    if settings.flip or right.any():
        columns = torch.from_numpy(_sources(width, right, settings.flip, draws["flip"])).to(images.device)
        images = images.gather(3, columns[:, None, None, :].expand(images.shape))
    return images


def _sources(size: int, shift: NDArray[np.float64], flips: bool, draw: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N, size): the coordinate that each pixel of a line is read from."""
    line = np.arange(size)
    lines = np.where((draw < 0.5)[:, None] & flips, line[::-1], line)
    return mirrored(lines + shift.astype(np.int64)[:, None], size)


def _shifts(settings: Augment, draws: Draws, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whole pixels down and to the right."""
    down = settings.shift if settings.shift_height is None else settings.shift_height
    return (
        np.rint(down * size[0] * draws.signed("shift_height")),
        np.rint(settings.shift * size[1] * draws.signed("shift")),
    )


def _warped(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Every one of the images read through its own affine map, bilinearly."""
    height, width = images.shape[2:]
    maps = torch.from_numpy(_maps(settings, draws, (height, width)).astype(np.float32)).to(images.device)
    # Coordinates run from -1 to 1 over the image. Products and sums one by one, where a matrix product would round
    # as the size of the batch decides.
    across, along = (
        ((torch.arange(pixels, device=images.device) * 2 + 1) / pixels - 1).float() for pixels in (width, height)
    )
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    for axis in (0, 1):
        a, b, c = (maps[:, axis, column, None] for column in range(3))
        torch.add((a * across)[:, None, :], (b * along + c)[:, :, None], out=grid[..., axis])
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _maps(settings: Augment, draws: Draws, size: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2, 3): from a place in the result to the place in the image that it is read from."""
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
