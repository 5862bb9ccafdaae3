"""Decoded images as tensors: resized to a network's input size, normalised, and restored from normalised inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn.data.images import Images
from lightcnn.data.preparation.steps import equalise, square_object
from lightcnn.data.preprocess import Preprocess
from lightcnn.recipe import Preparation


def network_pixels(image: NDArray[np.uint8], preprocess: Preprocess) -> Tensor:
    """A decoded image (H, W, 1 or 3) → uint8 (C, size, size): the pixels that the network was trained on."""
    return prepare(preprocess.with_channels(image), preprocess, preprocess.size)


def prepare(image: NDArray[np.uint8], preparation: Preparation, size: int) -> Tensor:
    """A decoded image (H, W, C) → uint8 (C, size, size), prepared for a network of that input size."""
    pixels = resize([square_object(image, preparation)], size)[0]
    if not preparation.clahe:
        return pixels
    equalised = equalise(pixels.movedim(0, 2).contiguous().numpy(), preparation.clahe)
    return torch.from_numpy(equalised).movedim(2, 0)


def resize(images: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """Images (H, W, C) of any sizes, with the same C → one uint8 tensor (N, C, size, size)."""
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


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[2:] == (size, size):
        return images
    scaled = functional.interpolate(images.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return scaled.round().clamp(0, 255).to(torch.uint8)


def normalise(images: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (N, C, H, W) → float32 of the same shape, with mean 0 and deviation 1 over the training set."""
    mean, deviation = mean_and_deviation(preprocess, images.device)
    return (images.float() - mean) / deviation


def restore(inputs: Tensor, preprocess: Preprocess) -> Tensor:
    """The inverse of `normalise`: float32 (N, C, H, W) on the scale 0..255."""
    mean, deviation = mean_and_deviation(preprocess, inputs.device)
    return inputs.float() * deviation + mean


def mean_and_deviation(preprocess: Preprocess, device: torch.device) -> tuple[Tensor, ...]:
    """Mean and standard deviation per channel on the scale 0..255, (1, C, 1, 1) each."""
    return tuple(
        torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1) * 255
        for values in (preprocess.mean, preprocess.deviation)
    )


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), on the scale 0..1.

    No deviation is below 1/255.
    """
    means, squares = (
        torch.zeros(images.shape[1], dtype=torch.float64),
        torch.zeros(images.shape[1], dtype=torch.float64),
    )
    for start in range(0, len(images), 256):
        scaled = images[start : start + 256].double() / 255
        means += scaled.sum(dim=(0, 2, 3)).cpu()
        squares += scaled.square().sum(dim=(0, 2, 3)).cpu()
    count = len(images) * images.shape[2] * images.shape[3]
    mean = means / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return tuple(mean.tolist()), tuple(deviation.tolist())
