"""Quantized networks with random integers, so that all arithmetic is tested on every kind of step."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lightcnn.integer.arithmetic import mean_multiplier, multiplier
from lightcnn.integer.network import IntegerNetwork, IntegerStep, Quantization
from lightcnn.memory_plan import needs_table
from lightcnn.program import CONVOLUTIONS, Program, Step

NO_BYTES = np.empty(0, np.int8)


def random_network(program: Program, seed: int) -> IntegerNetwork:
    """A quantized network with random weights, multipliers, zeros, bounds and tables.

    The outputs of the steps spread over all codes. Pools keep the zero of their input.
    """
    random = np.random.default_rng(seed)
    zeros = [0]
    steps: list[IntegerStep] = []
    for step in program.steps:
        zeros.append(zeros[step.inputs[0]] if step.operator in ("maxpool", "avgpool") else _zero(random))
        steps.append(_random_step(program, step, zeros, random))
    return IntegerNetwork(program, tuple(steps), tuple(Quantization(1 / 64, zero) for zero in zeros))


def random_pixels(program: Program, count: int, seed: int) -> NDArray[np.uint8]:
    """Random images uint8 (N, H, W, C) of the size of a program."""
    channels, height, width = program.shapes[0]
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)


def _zero(random: np.random.Generator) -> int:
    return int(random.choice((-128, 127, random.integers(-128, 128))))


def _random_step(program: Program, step: Step, zeros: list[int], random: np.random.Generator) -> IntegerStep:
    pools = step.operator in ("maxpool", "avgpool")
    looks_up = needs_table(step)
    weights, bias = NO_BYTES, np.empty(0, np.int32)
    if step.operator in CONVOLUTIONS:
        shape = program.weight_shape(step)
        weights = random.integers(-127, 128, shape).astype(np.int8)
        bias = random.integers(-9000, 9000, shape[0]).astype(np.int32)
    table = random.integers(-128, 128, 256).astype(np.int8) if looks_up else NO_BYTES
    if step.operator == "input":
        table = random.integers(-128, 128, (program.shapes[0][0], 256)).astype(np.int8)
    low, high = (-128, 127) if looks_up or pools or random.random() < 0.5 else (-100, 90)
    multipliers, shifts = _multipliers(program, step, random)
    return IntegerStep(
        step, weights, bias, multipliers, shifts, tuple(zeros[tensor] for tensor in step.inputs),
        _zero(random) if looks_up else zeros[step.output], low, high, table, 1 / 64,
    )  # fmt: skip


def _multipliers(
    program: Program, step: Step, random: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Multipliers that bring sums to about 100 codes; some of those of convolutions are above 1 or 0."""
    pairs: list[tuple[int, int]] = []
    vary = random.uniform(0.5, 2)
    if step.operator in CONVOLUTIONS:
        width, *window = program.weight_shape(step)
        usual = 100 / (100 * 73 * math.sqrt(math.prod(window)))
        factors = usual * random.uniform(0.3, 3, width) * random.choice((0, 1, 1, 1, 1, 1, 1, 200), width)
        pairs = [multiplier(factor) for factor in factors]
    elif step.operator == "mean":
        pairs = [mean_multiplier(vary, math.prod(program.shapes[step.inputs[0]][1:]))]
    elif step.operator == "add":
        pairs = [multiplier(vary / 4), multiplier(0.5), multiplier(2**-20 * vary)]
    elif step.operator == "scale":
        pairs = [multiplier(vary / 256)]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0].astype(np.int32), table[:, 1].astype(np.int8)
