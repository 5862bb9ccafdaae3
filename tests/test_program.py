"""The program of a network computes what the network computes."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from helpers.specs import drawn, randomised
from torch import nn

from lightcnn.integer.calibration import run_program
from lightcnn.network import build, fold
from lightcnn.program import CONVOLUTIONS, OPERATORS, PIXELS, program
from lightcnn.spec import (
    BLOCKS,
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
    SqueezeExciteBlock,
)

SEEDS = range(60)
BIG = ResidualBlock(body=(ConvBlock(width=6, stride=2, act="gelu"), ConvBlock(width=6, stride=2)), act="relu6")
SPECIAL = {
    "a 1×1 convolution with stride 2": (ConvBlock(width=6, kernel=1, stride=2),),
    "a grouped convolution": (ConvBlock(width=8, groups=2, act="hardswish"),),
    "several filters per channel": (ConvBlock(width=8, groups=4),),
    "average pooling with padding": (PoolBlock(op="avg", kernel=3, stride=2),),
    "max pooling with padding": (PoolBlock(op="max", kernel=3, stride=1),),
    "a shortcut that averages, rounded up": (BIG.model_copy(update={"shortcut": "avgpool"}),),
    "a shortcut of maxima, rounded up": (BIG.model_copy(update={"shortcut": "maxpool"}),),
    "excited channels": (SqueezeExciteBlock(ratio=0.5),),
    "an inverted residual with excited channels": (InvertedResidualBlock(width=4, se=0.25, depth=2),),
    "strides after one pixel is left": tuple(ConvBlock(width=4, stride=2) for _ in range(5)),
}


def check(network: NetworkSpec, seed: int) -> None:
    """The program gives the logits of the built network and of the folded one."""
    module = randomised(build(network, seed=seed)).eval()
    inputs = torch.randn(2, *network.input, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = module(inputs)
        logits = run_program(program(network), fold(module).state_dict(), inputs)
    assert logits.shape == (2, network.logits)
    assert torch.allclose(logits, expected, rtol=1e-3, atol=1e-4 * max(1, float(expected.abs().max())))


@pytest.mark.parametrize("seed", SEEDS)
def test_logits_of_random_networks(seed: int) -> None:
    check(drawn(seed)[0], seed)


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize(
    "head",
    [HeadSpec(), HeadSpec(pool="max", hidden=(5, 3), act="gelu", dropout=0.3), HeadSpec(output="sigmoid")],
    ids=["softmax", "hidden", "sigmoid"],
)
def test_logits_of_special_cases(name: str, head: HeadSpec) -> None:
    check(NetworkSpec(input=(4, 11, 14), stages=SPECIAL[name], head=head, classes=2), 0)


def test_the_networks_have_every_block_and_their_programs_every_operator() -> None:
    networks = [drawn(seed)[0] for seed in SEEDS]
    assert {block.kind for network in networks for block in (*network.stem, *network.stages)} == set(BLOCKS)
    steps = [step for network in networks for step in program(network).steps]
    assert {step.operator for step in steps} == set(OPERATORS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_layer_is_used_once_and_every_tensor_written_once(seed: int) -> None:
    network, _, folded = drawn(seed)
    lowered = program(network)
    layers = [name for name, part in folded.named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    assert sorted(step.weights for step in lowered.steps if step.operator in CONVOLUTIONS) == sorted(layers)
    written = [PIXELS, *(step.output for step in lowered.steps)]
    assert written == list(range(len(lowered.shapes)))
    assert all(max(step.inputs) < step.output for step in lowered.steps)
    assert set(Counter(step.name for step in lowered.steps).values()) == {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_shapes_and_weights_are_those_of_the_layers(seed: int) -> None:
    network, _, folded = drawn(seed)
    lowered = program(network)
    state = folded.state_dict()
    for step in lowered.steps:
        if step.operator in CONVOLUTIONS:
            assert math.prod(lowered.weight_shape(step)) == state[f"{step.weights}.weight"].numel()
    assert lowered.shapes[lowered.output] == (network.logits, 1, 1)
