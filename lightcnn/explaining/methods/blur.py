"""Images without their details: where Integrated Gradients may begin, and where insertion does."""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor


def blurred(inputs: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) under a Gaussian of that deviation in pixels, their borders continued; on the same device."""
    soft = ndimage.gaussian_filter(inputs.cpu().numpy(), (0, 0, sigma, sigma), mode="nearest")
    return torch.from_numpy(soft).to(inputs.device)
