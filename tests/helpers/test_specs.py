"""The random specs of these tests contain blocks of every kind with every important value."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from helpers.specs import ACTIVATIONS, random_spec

from lightcnn.spec import BLOCKS, NetworkSpec

DRAWN = [random_spec(Random(seed)) for seed in range(300)]
BLOCKS_DRAWN = [block for network in DRAWN for block in (*network.stem, *network.stages)]
BODIES = [block.body for block in BLOCKS_DRAWN if block.kind == "residual"]
PARTS = [part for body in BODIES for part in body]

VALUES: dict[str, dict[str, set[Any]]] = {
    "conv": {
        "kernel": {1, 3, 5, 7},
        "stride": {1, 2},
        "norm": {True, False},
        "bias": {None, True, False},
        "act": set(ACTIVATIONS),
        "depth": {1, 2},
    },
    "separable": {
        "kernel": {1, 3, 5, 7},
        "stride": {1, 2},
        "norm": {True, False},
        "bias": {None, True, False},
        "act": set(ACTIVATIONS),
        "inner": {True, False},
        "depth": {1, 2},
    },
    "mbconv": {
        "kernel": {1, 3, 5, 7},
        "stride": {1, 2},
        "expand": {1.0, 1.37, 2.5, 6.0},
        "se": {None, 0.0625, 0.25, 1.0},
        "act": set(ACTIVATIONS),
        "drop_path": {0.0, 0.3},
        "depth": {1, 2},
    },
    "se": {"ratio": {0.0625, 0.25, 0.6, 1.0}},
    "pool": {"op": {"max", "avg"}, "kernel": {2, 3}, "stride": {1, 2}},
    "residual": {
        "shortcut": {"auto", "identity", "conv", "avgpool", "maxpool"},
        "norm": {True, False},
        "bias": {None, True, False},
        "act": set(ACTIVATIONS),
        "drop_path": {0.0, 0.3},
        "depth": {1, 2},
    },
}


def units(kind: str) -> list[tuple[Any, tuple[int, int, int], tuple[int, int, int]]]:
    return [
        (unit, before, after) for network in DRAWN for _, unit, before, after in network.units() if unit.kind == kind
    ]


def test_the_table_lists_every_kind() -> None:
    assert set(VALUES) == set(BLOCKS)


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_value_of_every_setting_occurs(kind: str) -> None:
    blocks = [block for block in BLOCKS_DRAWN if block.kind == kind]
    for setting, values in VALUES[kind].items():
        assert {getattr(block, setting) for block in blocks} == values, setting


def test_groups_of_every_kind_occur() -> None:
    convs = units("conv")
    assert any(unit.groups == before[0] == after[0] > 1 for unit, before, after in convs), "depthwise"
    assert any(unit.groups == before[0] > 1 and after[0] > before[0] for unit, before, after in convs), (
        "with multiplier"
    )
    assert any(1 < unit.groups < before[0] for unit, before, _ in convs), "grouped"


def test_inverted_residuals_occur_with_and_without_their_skip() -> None:
    shapes = {before == after for unit, before, after in units("mbconv") if unit.stride == 1}
    assert shapes == {True, False}


def test_bodies_of_every_kind_and_length_occur() -> None:
    assert {part.kind for part in PARTS} == set(BLOCKS) - {"residual"}
    assert {body[0].kind for body in BODIES} == set(BLOCKS) - {"residual"}
    assert {len(body) for body in BODIES} >= {1, 2, 3}
    assert {getattr(part, "depth", 1) for part in PARTS} == {1, 2}


@pytest.mark.parametrize("shortcut", ["auto", "conv", "avgpool", "maxpool"])
def test_strided_shortcuts_on_odd_sizes_occur(shortcut: str) -> None:
    strided = [(b, a) for unit, b, a in units("residual") if unit.shortcut == shortcut and b[1:] != a[1:]]
    assert any(before[1] % 2 and before[1] > 1 for before, _ in strided)


def test_networks_of_every_kind_occur() -> None:
    heads = [network.head for network in DRAWN]
    assert {head.pool for head in heads} == {"avg", "max"}
    assert {head.output for head in heads} == {"softmax", "sigmoid"}
    assert {len(head.hidden) for head in heads} == {0, 1, 2}
    assert {network.input[0] for network in DRAWN} == {1, 2, 3, 4, 5}
    sizes = {size for network in DRAWN for size in network.input[1:]}
    assert {min(sizes), max(sizes)} == {5, 40}
    assert any(network.input[1] != network.input[2] for network in DRAWN)
    assert {bool(network.stem) for network in DRAWN} == {True, False}


def test_equal_random_states_generate_equal_specs() -> None:
    twice: list[NetworkSpec] = [random_spec(Random(5)), random_spec(Random(5))]
    assert twice[0] == twice[1]
    assert len({network.digest() for network in DRAWN}) == len(DRAWN)
