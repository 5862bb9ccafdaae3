"""Random valid specs with blocks of every kind and every setting, and the networks built from them."""

from __future__ import annotations

import copy
from functools import cache
from random import Random
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from lightcnn.network import build, fold
from lightcnn.spec import (
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
)

SPACES = {"micro", "mobilenet", "micrompoxnet"}
RECIPES = {
    "finetune",
    "micrompoxnet",
    "quick",
    "study0-feature-transfer",
    "study1-parameter-transfer",
    "study2-augmented",
    "study3-multiclass",
}
"""Names of the shipped recipes; a new file is listed here."""

ACTIVATIONS = ("silu", "relu", "relu6", "hardswish", "gelu", "none")
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16)


def random_spec(random: Random) -> NetworkSpec:
    """A small valid spec: 1 to 5 channels, 5 to 40 pixels, one to six blocks of any kind."""
    frame = {
        "input": (random.randint(1, 5), random.randint(5, 40), random.randint(5, 40)),
        "classes": 2,
        "head": HeadSpec(),
    }
    blocks: tuple[Any, ...] = ()
    for _ in range(random.randint(1, 6)):
        blocks = _longer(random, frame, blocks)
    cut = random.randint(0, len(blocks) - 1)
    head = _head(random)
    classes = 2 if head.output == "sigmoid" else random.randint(2, 12)
    return NetworkSpec(**(frame | {"stem": blocks[:cut], "stages": blocks[cut:], "head": head, "classes": classes}))


@cache
def drawn(seed: int) -> tuple[NetworkSpec, nn.Module, nn.Module]:
    """A random spec, its built network and its folded network; not to be changed."""
    network = random_spec(Random(seed))
    built = build(network, seed=seed).eval()
    return network, built, fold(built)


def randomised(module: nn.Module) -> nn.Module:
    """A copy whose norms have weights and statistics like those of a trained network."""
    module = copy.deepcopy(module)
    random = torch.Generator().manual_seed(11)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor, low, high in (
                (norm.weight, 0.5, 1.5),
                (norm.bias, -1, 1),
                (norm.running_mean, -1, 1),
                (norm.running_var, 0.5, 2),
            ):
                tensor.data.uniform_(low, high, generator=random)
    return module


def _longer(random: Random, frame: dict[str, Any], blocks: tuple[Any, ...]) -> tuple[Any, ...]:
    """The blocks and another one that fits after them."""
    channels = list(NetworkSpec(stages=blocks, **frame).units())[-1][3][0] if blocks else frame["input"][0]
    while True:
        try:
            longer = (*blocks, _block(random, channels))
            NetworkSpec(stages=longer, **frame)
            return longer
        except ValidationError:
            continue


def _block(random: Random, channels: int) -> Any:
    kind = random.choice((_conv, _separable, _mbconv, _se, _pool, _residual, _residual))
    return kind(random, channels)


def _conv(random: Random, channels: int) -> ConvBlock:
    groups = random.choice([1, 1, channels, *(n for n in range(2, channels) if channels % n == 0)])
    width = random.choice([channels, *(groups * n for n in (1, 2, 3))]) if groups > 1 else random.choice(WIDTHS)
    return ConvBlock(
        width=width,
        kernel=random.choice((1, 3, 5, 7)),
        stride=random.choice((1, 1, 2)),
        groups=groups,
        norm=random.random() < 0.7,
        bias=random.choice((None, True, False)),
        act=random.choice(ACTIVATIONS),
        depth=random.choice((1, 1, 2)),
    )


def _separable(random: Random, channels: int) -> SeparableBlock:
    return SeparableBlock(
        width=random.choice((channels, random.choice(WIDTHS))),
        kernel=random.choice((1, 3, 5, 7)),
        stride=random.choice((1, 1, 2)),
        norm=random.random() < 0.7,
        bias=random.choice((None, True, False)),
        act=random.choice(ACTIVATIONS),
        inner=random.random() < 0.5,
        depth=random.choice((1, 1, 2)),
    )


def _mbconv(random: Random, channels: int) -> InvertedResidualBlock:
    return InvertedResidualBlock(
        width=random.choice((channels, random.choice(WIDTHS))),
        kernel=random.choice((1, 3, 5, 7)),
        stride=random.choice((1, 1, 2)),
        expand=random.choice((1.0, 1.37, 2.5, 6.0)),
        se=random.choice((None, 0.0625, 0.25, 1.0)),
        act=random.choice(ACTIVATIONS),
        drop_path=random.choice((0.0, 0.3)),
        depth=random.choice((1, 1, 2)),
    )


def _se(random: Random, channels: int) -> SqueezeExciteBlock:
    return SqueezeExciteBlock(ratio=random.choice((0.0625, 0.25, 0.6, 1.0)))


def _pool(random: Random, channels: int) -> PoolBlock:
    return PoolBlock(op=random.choice(("max", "avg")), kernel=random.choice((2, 3)), stride=random.choice((1, 2)))


def _residual(random: Random, channels: int) -> ResidualBlock:
    shortcut = random.choice(("auto", "identity", "conv", "avgpool", "maxpool"))
    body, width = [], channels
    for _ in range(random.randint(1, 3)):
        part = random.choice((_conv, _separable, _mbconv, _se, _pool))(random, width)
        body.append(part)
        width = getattr(part, "width", width)
    if shortcut == "identity" and width != channels:
        body.append(ConvBlock(width=channels, kernel=1, act=random.choice(ACTIVATIONS)))
    return ResidualBlock(
        body=tuple(body),
        shortcut=shortcut,
        norm=random.random() < 0.6,
        bias=random.choice((None, True, False)),
        act=random.choice(ACTIVATIONS),
        drop_path=random.choice((0.0, 0.3)),
        depth=random.choice((1, 1, 2)),
    )


def _head(random: Random) -> HeadSpec:
    return HeadSpec(
        pool=random.choice(("avg", "max")),
        hidden=random.choice(((), (7,), (16, 5))),
        act=random.choice(ACTIVATIONS),
        dropout=random.choice((0.0, 0.2)),
        output=random.choice(("softmax", "sigmoid")),
    )
