"""The memory that a training needs at least. No torch."""

from __future__ import annotations

import math

from lightcnn.budget import Cost
from lightcnn.cost import FLOAT_BYTES
from lightcnn.recipe import Optimisation

COPIES = {"adam": 4, "adamw": 4, "sgd": 3, "rmsprop": 3}
"""Optimizer → numbers that a training keeps for each parameter: itself, its gradient, and the optimizer's own."""
KEPT = 1.5
"""Tensors of the size of a norm's output that a training keeps for each norm, at least: two or three for most norms,
its input among them; one if only the sum or the mean of its output is used."""
MIXED_BYTES = 2
"""Bytes of an activation in mixed precision."""


def training_bytes(total: Cost, settings: Optimisation, images: int, device: str) -> int:
    """Bytes of weights, their average, gradients and optimizer, and of the activations of one batch for its gradients.

    Args:
        total: The cost of the network.
        settings: Optimizer, batch size, averaging and precision.
        images: Number of training images, which are divided into batches of nearly equal sizes.
        device: Where it is trained: "cpu" or "cuda".
    """
    batch = math.ceil(images / math.ceil(images / settings.batch))
    copies = COPIES[settings.optimizer] + (settings.ema > 0)
    activations = max(total.peak_activations, int(KEPT * total.norm_elements))
    of_each = MIXED_BYTES if is_mixed(settings, device) else FLOAT_BYTES
    return FLOAT_BYTES * copies * total.params + of_each * batch * activations


def is_mixed(settings: Optimisation, device: str) -> bool:
    """Whether a training on this type of device computes activations in bfloat16."""
    return device == "cuda" and settings.mixed_precision == "auto"
