"""The bilinear, antialiased resize of `lightcnn.data.tensors` without torch, within one grey level of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resize_array(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image (H, W, C) → one of that height and width, with the same channels."""
    if image.shape[:2] == size:
        return image
    (height, width), (new_height, new_width) = image.shape[:2], size
    columns = np.tensordot(_weights(width, new_width), image.astype(np.float32), axes=(1, 1))  # (new width, H, C)
    resized = np.tensordot(_weights(height, new_height), columns, axes=(1, 1))  # (new height, new width, C)
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def _weights(length: int, size: int) -> NDArray[np.float32]:
    """The weight of each of `length` pixels in each of `size` new ones, (size, length): triangles as wide as the scale.

    The rule of torch's `interpolate` with `antialias`: half a pixel is the centre, and weights add up to 1.
    """
    scale = length / size
    support = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None]) / support
    weights = np.maximum(1 - distances, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
