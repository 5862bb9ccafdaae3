"""From images to class probabilities: the one way that evaluation, prediction and explanation use."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess


def probabilities(model: nn.Module, images: Images, preprocess: Preprocess, batch: int = 512) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of uint8 images (N, C, H, W); the model's modes are left as they were."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            parts = [
                class_probabilities(model(preprocess.normalise(chunk).contiguous(memory_format=torch.channels_last)))
                for chunk in (images[start : start + batch] for start in range(0, len(images), batch))
            ]
    finally:
        for part, training in modes.items():
            part.training = training
    return torch.cat(parts).cpu().numpy()


def class_probabilities(logits: Tensor) -> Tensor:
    """Logits (N, classes), or (N, 1) of a sigmoid head, to probabilities (N, classes) in float64."""
    wide = logits.double()
    if wide.shape[1] == 1:
        positive = wide.sigmoid()
        return torch.cat([1 - positive, positive], dim=1)
    return wide.softmax(dim=1)


def decide(probabilities: NDArray[np.float64], threshold: float = 0.5) -> NDArray[np.int64]:
    """Class indices (N,): the likeliest; of two classes the second where its probability is over `threshold`."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > threshold).astype(np.int64)
    likeliest: NDArray[np.int64] = probabilities.argmax(axis=1)
    return likeliest
