"""Optimizer steps of the training state."""

from __future__ import annotations

import pytest
import torch
from helpers.squares import SPEC

from lightcnn.engine.state import State
from lightcnn.network import build
from lightcnn.recipe import Optimisation


def test_gradients_are_clipped_to_the_norm_of_the_recipe():
    model = build(SPEC, 0)
    settings = Optimisation(optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", warmup=0.0,
                            learning_rate=1.0, clip_norm=0.5)  # fmt: skip
    state = State(model, settings, 16)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    state.update()
    moved = torch.cat([(p.detach() - old).flatten() for p, old in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)
