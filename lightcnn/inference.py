"""From images to class probabilities, with torch. All of lightcnn predicts through these functions.

`decisions` has the NumPy half: from probabilities to classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise


def probabilities(model: nn.Module, images: Images, preprocess: Preprocess, batch: int = 512) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of uint8 images (N, C, H, W), with the temperature of `preprocess`.

    `batch` is the number of images per forward pass. The training modes of the model are restored afterwards.
    """
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            parts = [
                class_probabilities(
                    # On the CPU, because not every device has float64.
                    model(normalise(chunk, preprocess).contiguous(memory_format=torch.channels_last)).cpu(),
                    preprocess.temperature,
                )
                for chunk in (images[start : start + batch] for start in range(0, len(images), batch))
            ]
    finally:
        for part, training in modes.items():
            part.training = training
    return torch.cat(parts).numpy()


def class_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Class probabilities (N, classes) in float64 of logits (N, classes), or of logits (N, 1) of a sigmoid head.

    The logits are divided by the temperature (arXiv:1706.04599): above 1 it makes predictions less confident; it never
    changes their order.
    """
    wide = logits.double() / temperature
    if wide.shape[1] == 1:
        # Not 1 - sigmoid, which is 0 for logits of 37 and more: a temperature needs the exact small probability.
        return torch.cat([-wide, wide], dim=1).sigmoid()
    return wide.softmax(dim=1)
