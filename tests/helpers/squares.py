"""Dark and bright squares, and a small network for them."""

from __future__ import annotations

import numpy as np
import torch

from lightcnn.data.preprocess import Preprocess
from lightcnn.spec import ConvBlock, NetworkSpec, SeparableBlock

PREPROCESS = Preprocess(
    size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright")
)
SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=6), SeparableBlock(width=8, stride=2)), classes=2)


def squares(count=97):
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(0, 120, (count, 1, 8, 8)) + 100 * labels[:, None, None, None]
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels)
