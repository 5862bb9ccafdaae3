"""Hand-made networks for small images, whose widths are scaled to a budget: arm 5 of search.py.

They follow published networks as far as the blocks of lightcnn allow. Images have 16 to 32 pixels, so the networks
halve height and width three times in place of five, and are shorter: at 1 MFLOPs the published depths would leave
two or three channels per layer. `python tests/benchmarks/search_networks.py` prints what they cost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.spec import (
    BlockSpec,
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
)

MICROMPOXNET = Path(__file__).parents[1] / "golden" / "micrompoxnet.yaml"
GROUPS = 2
"""Groups of the first 1×1 convolutions of ShuffleNet; its widths are multiples of it."""
LEAST_PIXELS = 3
"""Height and width that the poolings of MicroMPoxNet leave at least."""
FACTORS, STEPS = (0.02, 8.0), 400
"""The smallest and the largest factor for all widths, and how many are tried: one every 1.5 %."""


def networks(channels: int, classes: int, pixels: int, budget: Budget) -> dict[str, NetworkSpec]:
    """Name → network for images of that size, as wide as the budget allows; those that no width fits are left out."""
    shape = (channels, pixels, pixels)
    made = {
        "MobileNetV3-small-like": mobilenet_v3(shape, classes),
        "MobileNetV2-like": mobilenet_v2(shape, classes),
        "ShuffleNet-like": shufflenet(shape, classes),
        "MicroMPoxNet": micrompoxnet(shape, classes),
    }
    fitted = {name: widest(spec, budget, GROUPS if name == "ShuffleNet-like" else 1) for name, spec in made.items()}
    return {name: spec for name, spec in fitted.items() if spec is not None}


def mobilenet_v3(shape: tuple[int, int, int], classes: int) -> NetworkSpec:
    """MobileNetV3-small (arXiv:1905.02244): kernels of 5, squeeze-and-excitation, hard swish from the second stage."""
    swish: dict[str, Any] = {"kernel": 5, "se": 0.25, "act": "hardswish"}
    return NetworkSpec(
        name="MobileNetV3-small-like",
        input=shape,
        stem=(ConvBlock(width=16, act="hardswish"),),
        stages=(
            InvertedResidualBlock(width=16, expand=1, se=0.25, stride=2, act="relu"),
            InvertedResidualBlock(width=24, expand=4, stride=2, act="relu"),
            InvertedResidualBlock(width=24, expand=3.5, act="relu"),
            InvertedResidualBlock(width=40, expand=4, stride=2, depth=2, **swish),
            InvertedResidualBlock(width=48, expand=3, depth=2, **swish),
            ConvBlock(width=288, kernel=1, act="hardswish"),
        ),
        head=HeadSpec(hidden=(256,), act="hardswish"),
        classes=classes,
    )


def mobilenet_v2(shape: tuple[int, int, int], classes: int) -> NetworkSpec:
    """MobileNetV2 (arXiv:1801.04381): inverted residuals with an expansion of 6, ReLU."""
    return NetworkSpec(
        name="MobileNetV2-like",
        input=shape,
        stem=(ConvBlock(width=32, stride=2, act="relu"),),
        stages=(
            InvertedResidualBlock(width=16, expand=1, act="relu"),
            InvertedResidualBlock(width=24, stride=2, depth=2, act="relu"),
            InvertedResidualBlock(width=32, stride=2, depth=2, act="relu"),
            InvertedResidualBlock(width=64, depth=2, act="relu"),
            ConvBlock(width=320, kernel=1, act="relu"),
        ),
        classes=classes,
    )


def shufflenet(shape: tuple[int, int, int], classes: int) -> NetworkSpec:
    """ShuffleNet (arXiv:1707.01083) with two groups; in place of the shuffle, the last 1×1 convolution mixes them."""
    return NetworkSpec(
        name="ShuffleNet-like",
        input=shape,
        stem=(ConvBlock(width=24, act="relu"), PoolBlock(op="max")),
        stages=(
            *shuffle_stage(64, depth=3, stride=1),
            *shuffle_stage(128, depth=4, stride=2),
            *shuffle_stage(256, depth=2, stride=2),
        ),
        classes=classes,
    )


def shuffle_stage(width: int, depth: int, stride: int) -> tuple[BlockSpec, ...]:
    """Bottleneck units: 1×1 in two groups to a quarter of the width, depthwise 3×3, 1×1; a ReLU after the sum."""
    inner = width // 4
    body = (
        ConvBlock(width=inner, kernel=1, groups=GROUPS, act="relu"),
        ConvBlock(width=inner, groups=inner, stride=stride, act="none"),
        ConvBlock(width=width, kernel=1, act="none"),
    )
    shortcut = "avgpool" if stride == 2 else "auto"
    return (ResidualBlock(body=body, shortcut=shortcut, act="relu", depth=depth),)


def micrompoxnet(shape: tuple[int, int, int], classes: int) -> NetworkSpec:
    """MicroMPoxNet with the first of its poolings, as many as leave `LEAST_PIXELS`, and one logit per class."""
    spec = NetworkSpec.load(MICROMPOXNET)
    pixels, stages = shape[1] // 2, []  # one pooling is in the stem
    for block in spec.stages:
        if isinstance(block, PoolBlock):
            if pixels // 2 < LEAST_PIXELS:
                continue
            pixels //= 2
        stages.append(block)
    head = spec.head.model_copy(update={"output": "softmax"})
    return NetworkSpec(**(dict(spec) | {"input": shape, "classes": classes, "head": head, "stages": tuple(stages)}))


def widest(spec: NetworkSpec, budget: Budget, divisor: int) -> NetworkSpec | None:
    """The network with all its widths multiplied by the factor that uses most of the budget."""
    candidates = [scaled(spec, factor, divisor) for factor in np.geomspace(*FACTORS, STEPS)]
    admitted = [candidate for candidate in candidates if budget.admits(cost(candidate))]
    return max(admitted, key=lambda candidate: budget.used_share(cost(candidate)), default=None)


def scaled(spec: NetworkSpec, factor: float, divisor: int) -> NetworkSpec:
    """The network with its widths multiplied, those of the hidden layers included."""
    hidden = tuple(max(1, round(width * factor)) for width in spec.head.hidden)
    wider = spec.scale(factor, divisor=divisor)
    return wider.model_copy(update={"head": spec.head.model_copy(update={"hidden": hidden})})


def main() -> None:
    for channels, classes, pixels in ((1, 10, 16), (1, 10, 28), (3, 6, 32)):
        for text in ("0.3MFLOPs", "1MFLOPs", "4MFLOPs"):
            print(f"\n{channels} × {pixels} × {pixels}, {text}")
            for name, spec in networks(channels, classes, pixels, Budget.parse(text)).items():
                widths = [unit.width for _, unit, _, _ in spec.units() if hasattr(unit, "width")]
                print(f"{name:<24}{cost(spec)}; widths {widths}")


if __name__ == "__main__":
    main()
