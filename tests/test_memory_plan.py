"""The plan of memory: replayed step by step, and compared with the smallest possible arena."""

from __future__ import annotations

from random import Random

import pytest
from helpers.specs import random_spec

from lightcnn.memory_plan import plan_memory, shares_input
from lightcnn.program import PIXELS, Program, program

SEEDS = range(100)


def replay(lowered: Program) -> set[int | None]:
    """Writes every tensor into an arena cell by cell, and checks that each is unchanged when a step reads it.

    Returns the tensors in the place of the output after the last step.
    """
    plan = plan_memory(lowered)
    owner: list[int | None] = [None] * plan.arena_bytes
    sizes = [lowered.elements(tensor) for tensor in range(len(lowered.shapes))]

    def place(tensor: int) -> slice:
        start = plan.offsets[tensor]
        assert start >= 0 and start + sizes[tensor] <= plan.arena_bytes
        return slice(start, start + sizes[tensor])

    owner[place(PIXELS)] = [PIXELS] * sizes[PIXELS]
    for index, step in enumerate(lowered.steps):
        for tensor in step.inputs:
            assert set(owner[place(tensor)]) == {tensor}, f"{step.name} reads what another step has written over"
        shared = shares_input(lowered, index)
        for tensor in step.inputs:
            cells = (
                range(*place(tensor).indices(plan.arena_bytes)),
                range(*place(step.output).indices(plan.arena_bytes)),
            )
            overlaps = max(cells[0].start, cells[1].start) < min(cells[0].stop, cells[1].stop)
            assert overlaps == (tensor == shared), f"{step.name} writes over an input that it still reads"
            assert not overlaps or cells[0] == cells[1]
        owner[place(step.output)] = [step.output] * sizes[step.output]
    return set(owner[place(lowered.output)])


def largest_live_sum(lowered: Program) -> int:
    """The most bytes that tensors need at one step, if an elementwise step may write over an operand."""
    last = {tensor: index for index, step in enumerate(lowered.steps) for tensor in step.inputs}
    last[lowered.output] = len(lowered.steps)
    sums = []
    for index, step in enumerate(lowered.steps):
        shared = shares_input(lowered, index)
        live = {tensor for tensor, end in last.items() if end >= index and tensor < step.output} | {step.output}
        sums.append(sum(lowered.elements(tensor) for tensor in live - {shared}))
    return max(sums)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_tensor_is_written_over_before_its_last_use(seed: int) -> None:
    lowered = program(random_spec(Random(seed)))
    assert replay(lowered) == {lowered.output}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_arena_is_the_largest_live_sum_which_no_plan_can_be_below(seed: int) -> None:
    lowered = program(random_spec(Random(seed)))
    assert plan_memory(lowered).arena_bytes == largest_live_sum(lowered)
