"""Blurred images: a baseline of Integrated Gradients, and the start of insertion."""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor


def blurred(inputs: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) blurred by a Gaussian with standard deviation `sigma` in pixels, on the same device."""
    soft = ndimage.gaussian_filter(inputs.cpu().numpy(), (0, 0, sigma, sigma), mode="nearest")
    return torch.from_numpy(soft).to(inputs.device)
