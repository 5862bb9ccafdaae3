"""From decoded pixels to what a network reads: one rule for training, evaluation, prediction and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lightcnn.spec import Frozen


class Preprocess(Frozen):
    """Resize to size × size (bilinear, antialiased, aspect not kept), to 0..1, minus mean, over deviation.

    `mean` and `deviation` are per channel, of the training side. `classes` names the outputs in order.
    """

    size: Annotated[int, Field(ge=1)]
    channels: Literal[1, 3]
    resize: Literal["bilinear-antialiased"] = "bilinear-antialiased"
    shorter_side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    classes: tuple[str, ...]
    temperature: Annotated[float, Field(gt=0, description="logits are divided by it; 1 is not calibrated")] = 1.0
    threshold: Annotated[float, Field(gt=0, lt=1, description="of the second of two classes")] = 0.5

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 or float (N, C, H, W) on the scale 0..255 → float32, mean 0 and deviation 1 over the training side."""
        mean, deviation = (
            torch.tensor(values, dtype=torch.float32, device=images.device).view(1, -1, 1, 1) * 255
            for values in (self.mean, self.deviation)
        )
        return (images.float() - mean) / deviation


def resize(images: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """Images (H, W, C) to one uint8 tensor (N, C, size, size)."""
    out = torch.empty(len(images), images[0].shape[2], size, size, dtype=torch.uint8)
    if isinstance(images, np.ndarray):
        for start in range(0, len(images), 1024):
            out[start : start + 1024] = _resized(
                torch.from_numpy(images[start : start + 1024].copy()).movedim(3, 1), size
            )
    else:
        for index, image in enumerate(images):
            out[index] = _resized(torch.from_numpy(image.copy()).movedim(2, 0)[None], size)[0]
    return out


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel of uint8 images (N, C, H, W), on the scale 0..1; no deviation is under 1/255."""
    means, squares = (
        torch.zeros(images.shape[1], dtype=torch.float64),
        torch.zeros(images.shape[1], dtype=torch.float64),
    )
    for chunk in torch.split(images, 256):
        scaled = chunk.double() / 255
        means += scaled.sum(dim=(0, 2, 3))
        squares += scaled.square().sum(dim=(0, 2, 3))
    count = images[:, 0].numel()
    mean = means / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return tuple(mean.tolist()), tuple(deviation.tolist())


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[2:] == (size, size):
        return images
    scaled = functional.interpolate(images.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return scaled.round().clamp(0, 255).to(torch.uint8)
