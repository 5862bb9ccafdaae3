"""Networks whose outputs for one image are not always the same: noticed and stated, in profile and explain."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lightcnn
from lightcnn.counting.copies import eval_copy
from lightcnn.counting.passes import instabilities

RANDOM, BATCH = "its outputs are random", "depend on the other images in the batch"


class Head(nn.Module):
    """A convolution, a change of its output, pooling and a classifier."""

    def __init__(self, change: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.conv, self.change, self.classifier = nn.Conv2d(3, 8, 3), change, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.change(self.conv(x)).relu().mean((2, 3)))
        return logits


class AlwaysTraining(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> AlwaysTraining:
        super().train(True)
        return self


class AlwaysDropping(nn.Dropout):
    def train(self, mode: bool = True) -> AlwaysDropping:
        super().train(True)
        return self


CHANGES: dict[str, tuple[Callable[[], Callable[[Tensor], Tensor]], str]] = {
    "plain": (nn.Identity, ""),
    "batch norm": (lambda: nn.BatchNorm2d(8), ""),
    "dropout": (lambda: nn.Dropout(0.5), ""),
    "instance norm": (lambda: nn.InstanceNorm2d(8), ""),
    "group norm": (lambda: nn.GroupNorm(2, 8), ""),
    "batch norm without statistics": (lambda: nn.BatchNorm2d(8, track_running_stats=False), BATCH),
    "batch norm left in training mode": (lambda: AlwaysTraining(8), BATCH),
    "function of the batch": (lambda: lambda x: functional.batch_norm(x, None, None, training=True), BATCH),
    "mean of the batch": (lambda: lambda x: x - x.mean(0, keepdim=True), BATCH),
    "softmax over the batch": (lambda: lambda x: x.softmax(0), BATCH),
    "function dropout": (lambda: lambda x: functional.dropout(x, 0.5), RANDOM),
    "function dropout2d": (lambda: lambda x: functional.dropout2d(x, 0.5), RANDOM),
    "dropout left in training mode": (lambda: AlwaysDropping(0.5), RANDOM),
    "noise": (lambda: lambda x: x + torch.randn_like(x), RANDOM),
    "order": (lambda: lambda x: x[:, torch.randperm(8)], RANDOM),
    "Python": (lambda: lambda x: x * random.random(), RANDOM),
    "numpy": (lambda: lambda x: x * float(np.random.rand()), RANDOM),
}


@pytest.mark.parametrize("name", CHANGES)
def test_outputs_that_are_not_always_the_same_are_noticed(name: str) -> None:
    make, expected = CHANGES[name]
    torch.manual_seed(0)
    model = eval_copy(Head(make()))
    images = torch.randn(2, 3, 12, 12)
    states = torch.get_rng_state().tolist(), random.getstate()
    notes = instabilities(model, images)
    assert len(notes) == bool(expected) and all(expected in line for line in notes)
    assert states == (torch.get_rng_state().tolist(), random.getstate())


@pytest.mark.parametrize("name", ["batch norm without statistics", "function dropout", "batch norm"])
def test_profile_and_explain_state_it(name: str) -> None:
    make, expected = CHANGES[name]
    torch.manual_seed(0)
    model, images = Head(make()), torch.rand(1, 3, 12, 12)
    printed = str(lightcnn.profile(model, input=(3, 12, 12)))
    assert printed.count(expected) == 1 if expected else RANDOM not in printed and BATCH not in printed
    options = {"methods": ["gradcam", "ig"], "checks": "none", "target": 1, "seed": 3}
    if not expected:
        lightcnn.explain(model, images, **options)  # type: ignore[arg-type]
        return
    with pytest.warns(UserWarning, match=f"^explain: .*{expected}") as caught:
        first = lightcnn.explain(model, images, **options)  # type: ignore[arg-type]
        second = lightcnn.explain(model, images, **options)  # type: ignore[arg-type]
    assert len(caught) == 2
    assert all(expected in explanation.attribution.notes[-1] for explanation in first)
    assert all(np.array_equal(a.attribution.map, b.attribution.map) for a, b in zip(first, second, strict=True))
