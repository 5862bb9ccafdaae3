"""The plan of memory: replayed pixel by pixel, and compared with what tensors need that never overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

import numpy as np
import pytest
from helpers.specs import random_spec
from numpy.typing import NDArray

from lightcnn import Recipe
from lightcnn.memory_plan import WINDOWED, lead_bytes, live_bytes, plan_memory, shares_input
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
            backward = plan.offsets[step.output] > plan.offsets[step.inputs[0]]
            compute(lowered, step, place(step.inputs[0]), place(step.output), backward=backward)
        elif shares_input(lowered, index) is None:
            assert not any(np.shares_memory(place(step.output), place(tensor)) for tensor in step.inputs), step.name
        place(step.output)[:] = step.output
    return set(place(lowered.output).tolist())


def compute(
    lowered: Program, step: Step, given: NDArray[np.int64], written: NDArray[np.int64], *, backward: bool
) -> None:
    """Writes the output of a step pixel by pixel, after the cells of the input that the pixel's window covers."""
    _, height, width = lowered.shapes[step.inputs[0]]
    channels, out_height, out_width = lowered.shapes[step.output]
    cells, pixels = given.reshape(height, width, -1), written.reshape(out_height, out_width, channels)
    places = list(np.ndindex(out_height, out_width))
    for row, column in reversed(places) if backward else places:
        top, left = row * step.stride - step.padding, column * step.stride - step.padding
        window = cells[max(0, top) : top + step.kernel[0], max(0, left) : left + step.kernel[1]]
        assert window.size
        assert (window == step.inputs[0]).all(), f"{step.name} reads what it has written over"
        pixels[row, column] = step.output
        assert (window == step.inputs[0]).all(), f"{step.name} writes over what it still reads"


def survives(lowered: Program, step: Step, distance: int, *, backward: bool) -> bool:
    """Whether a step whose output begins so many bytes behind its input, or before it if negative, can be computed."""
    size, out_size = (lowered.elements(tensor) for tensor in (step.inputs[0], step.output))
    arena = np.full(size + 2 * out_size + abs(distance), step.inputs[0])
    start = out_size + max(0, -distance)
    try:
        compute(lowered, step, arena[start:][:size], arena[start + distance :][:out_size], backward=backward)
    except AssertionError:
        return False
    return True


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


def windowed_steps(seeds: Iterable[int]) -> Iterator[tuple[Program, Step]]:
    """The convolutions and pools of random networks, each with its program."""
    for seed in seeds:
        lowered = program(random_spec(Random(seed)))
        yield from ((lowered, step) for step in lowered.steps if step.operator in WINDOWED)


def test_a_lead_is_the_smallest_that_is_safe_and_only_in_its_direction() -> None:
    """Both directions, and one byte less than the lead, are tried pixel by pixel."""
    overlapping = 0
    for lowered, step in windowed_steps(range(12)):
        size, out_size = (lowered.elements(tensor) for tensor in (step.inputs[0], step.output))
        lead, trail = lead_bytes(lowered, step)
        before, behind = -lead, size + trail - out_size
        assert before < 0 < behind
        assert survives(lowered, step, before, backward=False) and survives(lowered, step, behind, backward=True)
        assert not survives(lowered, step, before + 1, backward=False)
        assert not survives(lowered, step, behind - 1, backward=True)
        if lead < out_size and lowered.shapes[step.output][1:] != (1, 1):
            overlapping += 1
            assert not survives(lowered, step, before, backward=True)
        if trail < out_size and lowered.shapes[step.output][1:] != (1, 1):
            overlapping += 1
            assert not survives(lowered, step, behind, backward=False)
    assert overlapping > 50


def test_a_plan_with_a_step_in_the_wrong_direction_is_found() -> None:
    """Steps run in both directions, and plans are found to be wrong if all steps run in the other one."""
    wrong = {True: 0, False: 0}
    for seed in range(25):
        lowered = program(random_spec(Random(seed)))
        offsets = plan_memory(lowered).offsets
        for step in lowered.steps:
            distance = offsets[step.output] - offsets[step.inputs[0]]
            if step.operator in WINDOWED and not survives(lowered, step, distance, backward=distance < 0):
                wrong[distance > 0] += 1
    assert min(wrong.values()) > 10


def test_a_convolution_overlaps_its_input() -> None:
    """The second output begins a row and two pixels of 8 bytes before its input, and the image is within both.

    Two tensors of 20×20×8 would need 6,400 bytes.
    """
    stages = [{"kind": "conv", "width": 8, "act": "relu"}] * 2
    spec = NetworkSpec.model_validate({"input": (1, 20, 20), "stages": tuple(stages), "classes": 2})
    assert plan_memory(program(spec)).arena_bytes == 20 * 20 * 8 + 22 * 8


def test_a_pool_ends_behind_its_input_so_that_a_convolution_may_begin_before_it() -> None:
    """The stem and the first block of MicroMPoxNet in small: the largest step, and one pixel.

    If no step ran backward, the output of the pool would be before the input of the pool.
    """
    body = ({"kind": "conv", "width": 16}, {"kind": "conv", "width": 16})
    stages = ({"kind": "conv", "width": 8}, {"kind": "pool", "op": "max"}, {"kind": "residual", "body": body})
    lowered = program(NetworkSpec.model_validate({"input": (1, 16, 16), "stages": stages, "classes": 2}))
    plan = plan_memory(lowered)
    pool = next(step for step in lowered.steps if step.operator == "maxpool")
    assert plan.offsets[pool.output] > plan.offsets[pool.inputs[0]]
    assert plan.arena_bytes == live_bytes(lowered)


def test_the_arena_of_micrompoxnet_is_its_first_convolutions() -> None:
    """128×128×32 bytes, and a row and two pixels, by which the second convolution begins before its input."""
    spec = Recipe.load("micrompoxnet").network
    assert isinstance(spec, NetworkSpec)
    assert plan_memory(program(spec)).arena_bytes == 128 * 128 * 32 + 130 * 32
