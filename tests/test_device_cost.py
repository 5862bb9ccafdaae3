"""The flash and the arena of a spec: those of its program, and of its parts."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from helpers.specs import random_spec

from lightcnn.cost import cost
from lightcnn.device_cost import MAX_DIMENSION, can_be_generated, device_cost
from lightcnn.memory_plan import constant_bytes, flash_bytes, live_bytes, plan_memory
from lightcnn.program import head_program, part_program, program
from lightcnn.recipe import Recipe
from lightcnn.spec import ConvBlock, InvertedResidualBlock, NetworkSpec


@pytest.mark.parametrize("seed", range(40))
def test_flash_and_arena_are_those_of_the_program(seed: int) -> None:
    network = random_spec(Random(seed))
    steps = program(network)
    total = device_cost(network)
    assert total.flash_bytes == flash_bytes(steps)
    assert total.arena_bytes == plan_memory(steps).arena_bytes
    assert replace(total, flash_bytes=None, arena_bytes=None) == cost(network)


@pytest.mark.parametrize("seed", range(40))
def test_the_parts_of_a_network_have_its_constants_and_its_live_bytes(seed: int) -> None:
    network = random_spec(Random(seed))
    shape, constants, live, steps = network.input, 0, 0, 1
    for block in (*network.stem, *network.stages):
        part = part_program([block], shape)
        shape = part.shapes[part.output]
        constants, live, steps = constants + constant_bytes(part), max(live, live_bytes(part)), steps + len(part.steps)
    head, whole = head_program(network, shape), program(network)
    assert steps + len(head.steps) == len(whole.steps)
    assert max(live, live_bytes(head)) == live_bytes(whole) <= plan_memory(whole).arena_bytes
    others = constant_bytes(whole) - constants - constant_bytes(head)
    assert others >= 256 * network.input[0]
    assert others <= 256 * network.input[0] + 200  # the record of the input


def wide(channels: int) -> NetworkSpec:
    blocks = (ConvBlock(width=channels // 16, kernel=1), InvertedResidualBlock(width=1, expand=16))
    return NetworkSpec(input=(1, 4, 4), stages=blocks, classes=2)


def test_a_network_that_the_generated_c_cannot_hold_has_no_flash_and_no_arena() -> None:
    widest = wide(MAX_DIMENSION + 1 - 16)
    assert can_be_generated(program(widest))
    assert device_cost(widest).flash_bytes is not None
    too_wide = wide(MAX_DIMENSION + 1)
    assert not can_be_generated(program(too_wide))
    assert device_cost(too_wide) == cost(too_wide)
    assert device_cost(too_wide).arena_bytes is None


def test_the_arena_of_the_quick_recipe_holds_its_largest_step() -> None:
    total = device_cost(Recipe.load("quick").network)
    assert total.arena_bytes is not None
    assert total.arena_bytes <= total.peak_activations
