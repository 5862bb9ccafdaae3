"""The memory that a training needs at least. No torch."""

from __future__ import annotations

from lightcnn.budget import Cost
from lightcnn.cost import FLOAT_BYTES
from lightcnn.recipe import Optimisation

COPIES = {"adam": 4, "adamw": 4, "sgd": 3, "rmsprop": 3}
"""Optimizer → numbers that a training keeps for each parameter: itself, its gradient, and the optimizer's own."""
KEPT = 2
"""Tensors that are kept for the gradient of each norm: its input, and its output or what is computed from it."""
MIXED_BYTES = 2
"""Bytes of an activation in mixed precision."""


def training_bytes(total: Cost, settings: Optimisation, device: str) -> int:
    """Bytes of weights, their average, gradients and optimizer, and of the activations of one batch for its gradients.

    Args:
        total: The cost of the network.
        settings: Optimizer, batch size, averaging and precision.
        device: Where it is trained: "cpu" or "cuda".
    """
    copies = COPIES[settings.optimizer] + (settings.ema > 0)
    mixed = device == "cuda" and settings.mixed_precision == "auto"
    activations = max(total.peak_activations, KEPT * total.norm_elements)
    return FLOAT_BYTES * copies * total.params + (MIXED_BYTES if mixed else FLOAT_BYTES) * settings.batch * activations
