"""From images to class probabilities, and from these to a class: the one way that everything here uses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess


def probabilities(model: nn.Module, images: Images, preprocess: Preprocess, batch: int = 512) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of uint8 images (N, C, H, W), calibrated as `preprocess` says.

    The model's modes are left as they were.
    """
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            parts = [
                class_probabilities(
                    # On the CPU, since not every device has float64.
                    model(preprocess.normalise(chunk).contiguous(memory_format=torch.channels_last)).cpu(),
                    preprocess.temperature,
                )
                for chunk in (images[start : start + batch] for start in range(0, len(images), batch))
            ]
    finally:
        for part, training in modes.items():
            part.training = training
    return torch.cat(parts).numpy()


def class_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logits (N, classes), or (N, 1) of a sigmoid head, over a temperature, to probabilities (N, classes) in float64.

    The temperature is that of arXiv:1706.04599: above 1 it makes a network less sure, and never changes the order.
    """
    wide = logits.double() / temperature
    if wide.shape[1] == 1:
        # Not 1 - sigmoid, which is 0 from logits of 37 on: a temperature must find every probability as it is.
        return torch.cat([-wide, wide], dim=1).sigmoid()
    return wide.softmax(dim=1)
