"""Quantized networks for tests, calibrated on images of blurred noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.integer.calibration import measure_ranges
from lightcnn.integer.network import IntegerNetwork
from lightcnn.integer.quantize import quantize
from lightcnn.network import build, fold
from lightcnn.program import program
from lightcnn.spec import NetworkSpec

COARSE = 4
"""Side of the noise that is enlarged to an image."""


def blurred_noise(shape: tuple[int, int, int], count: int, seed: int) -> NDArray[np.uint8]:
    """Images uint8 (N, H, W, C) of large and small spots, for a shape (C, H, W)."""
    random = np.random.default_rng(seed)
    channels, height, width = shape
    rows, columns = (np.arange(size) * COARSE // size for size in (height, width))
    coarse = random.integers(0, 256, (count, COARSE, COARSE, channels))[:, rows][:, :, columns]
    fine = random.integers(-40, 41, (count, height, width, channels))
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def quantized_network(spec: NetworkSpec, seed: int, *, images: int = 32) -> IntegerNetwork:
    """A network with random weights and statistics, quantized with the ranges that it has on so many images."""
    folded = fold(_randomised(build(spec, seed), seed))
    mean, deviation = (0.5,) * spec.input[0], (0.25,) * spec.input[0]
    # Random specs have numbers of channels that no image file has.
    preprocess = Preprocess.model_construct(mean=mean, deviation=deviation)
    pixels = torch.from_numpy(blurred_noise(spec.input, images, seed)).permute(0, 3, 1, 2)
    steps = program(spec)
    state: dict[str, Any] = folded.state_dict()
    ranges = measure_ranges(steps, state, pixels, preprocess)
    arrays = {name: value.numpy() for name, value in state.items()}
    return quantize(steps, arrays, ranges=ranges, mean=mean, deviation=deviation)


def _randomised(model: nn.Module, seed: int) -> nn.Module:
    """The model with norms that do something: freshly built, some of their weights are zero."""
    random = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=random)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5, generator=random)  # type: ignore[union-attr]
            module.weight.data.uniform_(0.7, 1.5, generator=random)
            module.bias.data.uniform_(-0.3, 0.5, generator=random)
    return model.eval()
