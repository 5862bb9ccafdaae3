"""The changes of a network, on random specs and on examples."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import torch
from helpers.specs import random_spec

from lightcnn.ablating.surgery import MIN_WIDTH, OPERATIONS, NotPossible, apply_operation
from lightcnn.cost import cost
from lightcnn.network import build
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

NETWORKS = [random_spec(Random(seed)) for seed in range(300)]
SMOOTH = {"silu", "hardswish", "gelu", "relu6"}


def units(network: NetworkSpec) -> Iterator[tuple[Any, tuple[int, int, int]]]:
    """Every single block with the shape of its input, including those in bodies."""
    for _, unit, before, _ in network.units():
        yield unit, before
        for part in getattr(unit, "body", ()):
            for inner in part.copies():
                yield inner, before
                before = inner.output_shape(before)


def changed_networks(name: str) -> list[tuple[NetworkSpec, NetworkSpec]]:
    """The random networks that an operation applies to, before and after."""
    networks = []
    for network in NETWORKS:
        try:
            networks.append((network, apply_operation(network, OPERATIONS[name])))
        except NotPossible:
            continue
    assert len(networks) >= 100
    return networks


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_keeps_input_and_classes(name: str) -> None:
    for before, after in changed_networks(name):
        assert (after.input, after.classes, after.logits) == (before.input, before.classes, before.logits)
        assert after.digest() != before.digest()
        assert NetworkSpec.model_validate_json(after.model_dump_json()) == after


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_changed_network_builds_and_runs_at_its_stated_cost(name: str) -> None:
    for _, after in changed_networks(name)[:25]:
        model = build(after, seed=0).eval()
        assert sum(parameter.numel() for parameter in model.parameters()) == cost(after).params
        with torch.no_grad():
            assert model(torch.zeros(1, *after.input)).shape == (1, after.logits)


def test_no_se_removes_all_squeeze_and_excitation_and_nothing_else() -> None:
    for before, after in changed_networks("no-se"):
        assert not any(isinstance(unit, SqueezeExciteBlock) for unit, _ in units(after))
        assert not any(getattr(unit, "se", None) for unit, _ in units(after))
        assert cost(after).params < cost(before).params
        assert list(after.units())[-1][3] == list(before.units())[-1][3]


def test_no_residual_removes_all_sums_and_shortcuts() -> None:
    for before, after in changed_networks("no-residual"):
        for unit, shape in units(after):
            assert not isinstance(unit, ResidualBlock)
            assert not (isinstance(unit, InvertedResidualBlock) and unit.has_skip(shape[0]))
        assert cost(after).params <= cost(before).params
        assert list(after.units())[-1][3] == list(before.units())[-1][3]


def test_plain_convolutions_replace_all_separable_ones_and_keep_sums() -> None:
    for before, after in changed_networks("plain-convolutions"):
        for unit, _ in units(after):
            assert not isinstance(unit, (SeparableBlock, InvertedResidualBlock))
            assert getattr(unit, "groups", 1) == 1
        assert sums(after) == sums(before)
        assert list(after.units())[-1][3] == list(before.units())[-1][3]


def sums(network: NetworkSpec) -> int:
    return sum(
        isinstance(unit, ResidualBlock) or (isinstance(unit, InvertedResidualBlock) and unit.has_skip(shape[0]))
        for unit, shape in units(network)
    )


def test_relu_replaces_other_activations_and_adds_none() -> None:
    for before, after in changed_networks("relu"):
        acts = [getattr(unit, "act", "none") for unit, _ in units(after)]
        assert not SMOOTH & {*acts, after.head.act}
        acts_before = [getattr(unit, "act", "none") for unit, _ in units(before)]
        assert [act == "none" for act in acts] == [act == "none" for act in acts_before]
        assert cost(after) == cost(before)


def test_narrower_halves_widths_down_to_eight() -> None:
    for before, after in changed_networks("narrower"):
        assert cost(after).params < cost(before).params
        pairs = zip(units(before), units(after), strict=True)
        free = [(old, new) for (old, _), (new, _) in pairs if hasattr(old, "width") and getattr(old, "groups", 1) == 1]
        widths = [(old.width, new.width) for old, new in free]
        assert all(min(old, MIN_WIDTH) <= new <= old for old, new in widths)
    wide = NetworkSpec(input=(3, 16, 16), classes=3, head=HeadSpec(hidden=(40, 6)), stages=(
        ConvBlock(width=64), ConvBlock(width=64, groups=64), ConvBlock(width=96, groups=4), SeparableBlock(width=10),
    ))  # fmt: skip
    narrow = apply_operation(wide, OPERATIONS["narrower"])
    assert [(block.width, getattr(block, "groups", 0)) for block in narrow.stages] == [
        (32, 1),
        (32, 32),
        (48, 2),
        (8, 0),
    ]
    assert narrow.head.hidden == (20, 6)


def test_shallower_halves_repeated_blocks() -> None:
    for before, after in changed_networks("shallower"):
        assert cost(after).params < cost(before).params
        assert len(list(units(after))) < len(list(units(before)))
    repeated = NetworkSpec(input=(3, 16, 16), classes=3, stages=(
        ConvBlock(width=8, stride=2), ConvBlock(width=8), ConvBlock(width=8), PoolBlock(),
        ResidualBlock(body=(SeparableBlock(width=8, depth=4),), depth=2),
    ))  # fmt: skip
    shallow = apply_operation(repeated, OPERATIONS["shallower"])
    assert [getattr(block, "depth", None) for block in shallow.stages] == [2, None, 1]
    assert shallow.stages[0].stride == 2
    assert shallow.stages[2].body[0].depth == 2


def test_the_activation_after_a_sum_moves_to_the_convolution_before_it() -> None:
    body = (ConvBlock(width=4), ConvBlock(width=4, act="none"))
    network = NetworkSpec(input=(4, 8, 8), classes=3, stages=(ResidualBlock(body=body, act="relu"),))
    without = apply_operation(network, OPERATIONS["no-residual"])
    assert [block.act for block in without.stages] == ["silu", "relu"]


def test_an_inverted_residual_without_its_skip_computes_its_branch() -> None:
    block = InvertedResidualBlock(width=6, expand=2.0, se=0.25, act="relu")
    network = NetworkSpec(input=(6, 8, 8), classes=3, stages=(block,))
    without = apply_operation(network, OPERATIONS["no-residual"])
    original, changed = build(network, seed=0).eval(), build(without, seed=0).eval()
    changed.load_state_dict(dict(zip(changed.state_dict(), original.state_dict().values(), strict=True)))
    images = torch.rand(2, 6, 8, 8)
    with torch.no_grad():
        branch = original.stages[0](images) - images
        torch.testing.assert_close(changed.stages(images), branch)


def test_operations_without_effect_give_the_reason() -> None:
    bare = NetworkSpec(input=(1, 8, 8), classes=3, stages=(ConvBlock(width=4, act="relu"),))
    for operation in OPERATIONS.values():
        with pytest.raises(NotPossible, match="the network "):
            apply_operation(bare, operation)
