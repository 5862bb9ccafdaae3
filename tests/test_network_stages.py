"""The parts of a spec: they add up to its cost, and their settings are in words."""

from __future__ import annotations

from random import Random

import pytest
from helpers.specs import random_spec

from lightcnn.cost import cost
from lightcnn.network_stages import spec_stages
from lightcnn.recipe import Recipe
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


@pytest.mark.parametrize("seed", range(30))
def test_parts_add_up_to_the_cost(seed: int) -> None:
    network = random_spec(Random(seed))
    stages, total = spec_stages(network), cost(network)
    assert sum(stage.macs for stage in stages) == total.macs
    assert sum(stage.params for stage in stages) == total.params
    assert [stage.name for stage in stages] == [
        *(f"stem.{index}" for index in range(len(network.stem))),
        *(f"stages.{index}" for index in range(len(network.stages))),
        "head",
    ]


def test_settings_marks_and_labels_of_every_kind() -> None:
    network = NetworkSpec(
        input=(3, 32, 32),
        stem=(ConvBlock(width=8, stride=2),),
        stages=(
            InvertedResidualBlock(width=8, expand=4, se=0.25, kernel=5, depth=3),
            InvertedResidualBlock(width=16, stride=2, depth=2),
            ResidualBlock(body=(SeparableBlock(width=16, depth=2),), depth=2),
            ResidualBlock(body=(ConvBlock(width=16), SqueezeExciteBlock())),
            SqueezeExciteBlock(ratio=0.5),
            PoolBlock(op="avg"),
        ),
        head=HeadSpec(hidden=(12,)),
        classes=10,
    )
    stages = {stage.name: stage for stage in spec_stages(network)}
    assert [(stage.label, stage.detail) for stage in stages.values()] == [
        ("conv", "3×3"), ("mbconv", "×3, 5×5"), ("mbconv", "×2, 3×3"), ("residual", "×2, 2 separable"),
        ("residual", "2 blocks"), ("se", ""), ("pool", "avg 2×2"), ("head", ""),
    ]  # fmt: skip
    assert [stage.skips for stage in stages.values()] == [0, 3, 1, 2, 1, 0, 0, 0]
    assert [stage.excites for stage in stages.values()] == [False, True, False, False, True, True, False, False]
    assert stages["stem.0"].settings == "kernel 3×3, stride 2"
    assert stages["stages.0"].settings == (
        "kernel 5×5, stride 1, expansion 4, 3 skip connections, squeeze-and-excitation"
    )
    assert stages["stages.2"].facts == ("body separable ×2", "shortcut auto")
    assert stages["head"].facts == ("avg pooling", "hidden layers 12", "softmax")
    assert stages["stages.5"].shape == (16, 4, 4)


def test_kinds_of_a_table_have_the_number_of_copies() -> None:
    assert spec_stages(Recipe.load("micrompoxnet").network)[0].kind == "conv ×2"
