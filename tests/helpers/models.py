"""Small models for tests of counting and profiling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.counting.count import Count

SHAPE = (3, 12, 10)
"""Size (C, H, W) of the image that these models take."""


def without_values(spec: Any) -> Any:
    """The network of a spec on the meta device."""
    with torch.device("meta"):
        return build_network(spec, pretrained=False)


def timm(name: str, *, size: int = 224, classes: int = 1000) -> BaselineSpec:
    """The spec of one of timm's networks with its own head."""
    return BaselineSpec(baseline=f"timm:{name}", input=(3, size, size), classes=classes, head="own", dropout=0.0)


class FunctionalCalls(nn.Module):
    """Calls a convolution, a product and an attention as functions, and one module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.shared = nn.Conv2d(4, 4, 1, bias=False)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.weight, padding=1)
        x = self.up(self.shared(self.shared(x)))
        tokens = x.flatten(2)[..., :60].unsqueeze(1)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens) @ torch.ones(60, 7)


class ImageDependent(nn.Module):
    """Does not compute the same for every image."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class ReadsOwnValue(nn.Module):
    """Reads a value of its own in Python, but none of its image."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(3))
        self.conv = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(self.steps)):
            x = self.conv(x)
        return x


class AttentionOverValues(nn.Module):
    """Attention in a network that reads a value of its own, so it is traced with values."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heads", torch.tensor(3))
        self.conv = nn.Conv2d(3, 12, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).reshape(1, int(self.heads), 4, -1)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Failing(nn.Module):
    """Raises after its layers have run."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        raise ZeroDivisionError(f"after {tuple(self.body(x).shape)}\nand more")


def require_sums(counts: Count) -> None:
    """Asserts that layers add up to the network, and differences to the numbers that other counters print."""
    assert sum(layer.params for layer in counts.layers) == counts.params
    assert sum(layer.macs for layer in counts.layers) == counts.macs_as_given
    assert sum(layer.share for layer in counts.layers) == pytest.approx(1 if counts.macs else 0)
    assert max(layer.activation_bytes for layer in counts.layers) >= counts.peak_activation_bytes
    for name in ("fvcore", "thop", "torch"):
        total = getattr(counts, name)
        assert total is not None, counts.notes
        assert total == counts.macs_as_given + sum(row.difference for row in counts.differences if row.counter == name)
