"""The plan of memory: replayed pixel by pixel, and compared with what tensors need that never overlap."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from helpers.specs import random_spec
from numpy.typing import NDArray

from lightcnn.memory_plan import WINDOWED, live_bytes, plan_memory, shares_input
from lightcnn.program import PIXELS, Program, Step, program
from lightcnn.spec import NetworkSpec

SEEDS = range(60)


def replay(lowered: Program) -> set[int]:
    """Computes pixel by pixel in an arena, and checks that all that a pixel reads is unchanged when it is read.

    Returns the tensors in the place of the output after the last step.
    """
    plan = plan_memory(lowered)
    owner = np.full(plan.arena_bytes, -1)
    sizes = [lowered.elements(tensor) for tensor in range(len(lowered.shapes))]
    assert all(0 <= start <= plan.arena_bytes - size for start, size in zip(plan.offsets, sizes, strict=True))

    def place(tensor: int) -> NDArray[np.int64]:
        return owner[plan.offsets[tensor] :][: sizes[tensor]]

    place(PIXELS)[:] = PIXELS
    for index, step in enumerate(lowered.steps):
        assert all((place(tensor) == tensor).all() for tensor in step.inputs), f"{step.name} reads what is written over"
        if step.operator in WINDOWED:
            compute(lowered, step, place(step.inputs[0]), place(step.output))
        elif shares_input(lowered, index) is None:
            assert not any(np.shares_memory(place(step.output), place(tensor)) for tensor in step.inputs), step.name
        place(step.output)[:] = step.output
    return set(place(lowered.output).tolist())


def compute(lowered: Program, step: Step, given: NDArray[np.int64], written: NDArray[np.int64]) -> None:
    """Writes the output of a step pixel by pixel, after the cells of the input that the pixel's window covers."""
    _, height, width = lowered.shapes[step.inputs[0]]
    channels, out_height, out_width = lowered.shapes[step.output]
    cells, pixels = given.reshape(height, width, -1), written.reshape(out_height, out_width, channels)
    for row in range(out_height):
        for column in range(out_width):
            top, left = row * step.stride - step.padding, column * step.stride - step.padding
            window = cells[max(0, top) : top + step.kernel[0], max(0, left) : left + step.kernel[1]]
            assert (window == step.inputs[0]).all(), f"{step.name} reads what it has written over"
            pixels[row, column] = step.output
            assert (window == step.inputs[0]).all(), f"{step.name} writes over what it still reads"


def largest_live_sum(lowered: Program) -> int:
    """The most bytes that tensors need at one step, if only an elementwise step may write over an operand."""
    last = {tensor: index for index, step in enumerate(lowered.steps) for tensor in step.inputs}
    last[lowered.output] = len(lowered.steps)
    sums = []
    for index, step in enumerate(lowered.steps):
        shared = shares_input(lowered, index)
        live = {tensor for tensor, end in last.items() if end >= index and tensor < step.output} | {step.output}
        sums.append(sum(lowered.elements(tensor) for tensor in live - {shared}))
    return max(sums)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_written_over_before_its_last_use(seed: int) -> None:
    lowered = program(random_spec(Random(seed)))
    assert replay(lowered) == {lowered.output}


def test_the_arena_is_seldom_above_the_sum_of_live_tensors_and_often_below() -> None:
    networks = [program(random_spec(Random(seed))) for seed in range(100)]
    shares = [plan_memory(lowered).arena_bytes / largest_live_sum(lowered) for lowered in networks]
    assert max(shares) <= 1
    assert all(live_bytes(lowered) <= plan_memory(lowered).arena_bytes for lowered in networks[:20])
    assert sum(share < 0.9 for share in shares) > 40


def test_a_convolution_overlaps_its_input() -> None:
    """Each output ends a row and two pixels before what its last window begins with: 8 bytes each, then 1 byte each.

    Two tensors of 20×20×8 would need 6,400 bytes.
    """
    stages = [{"kind": "conv", "width": 8, "act": "relu"}] * 2
    spec = NetworkSpec.model_validate({"input": (1, 20, 20), "stages": tuple(stages), "classes": 2})
    assert plan_memory(program(spec)).arena_bytes == 20 * 20 * 8 + 22 * 8 + 22
