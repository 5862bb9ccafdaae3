"""The memory that a training needs at least. No torch."""

from __future__ import annotations

from lightcnn.budget import Cost
from lightcnn.cost import FLOAT_BYTES
from lightcnn.recipe import Optimisation

COPIES = {"adam": 4, "adamw": 4, "sgd": 3, "rmsprop": 3}
"""Optimizer → numbers that a training keeps for each parameter: itself, its gradient, and the optimizer's own."""


def training_bytes(total: Cost, settings: Optimisation) -> int:
    """Bytes of weights, their average, gradients, optimizer and one batch; of a batch, only the largest activations."""
    copies = COPIES[settings.optimizer] + (settings.ema > 0)
    return FLOAT_BYTES * (copies * total.params + settings.batch * total.peak_activations)
