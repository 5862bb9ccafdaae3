"""The NumPy reference against operators of torch in float64 and TensorFlow Lite Micro's arithmetic, step by step."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from helpers.integer_networks import random_network, random_pixels
from helpers.specs import random_spec
from helpers.tflm_arithmetic import c_divide, multiply_by_quantized_multiplier
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn import Recipe
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork, IntegerStep
from lightcnn.program import OPERATORS, program

SEEDS = range(40)
CHECKED = 30
"""Outputs of a step that are computed number by number."""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_equals_its_operator(seed: int) -> None:
    network = random_network(program(random_spec(Random(seed))), seed)
    tensors = reference.tensors(network, random_pixels(network.program, 2, seed))
    for number, step in enumerate(network.steps):
        channels, height, width = network.program.shapes[step.step.output]
        output = tensors[step.step.output]
        assert output.shape == (2, height, width, channels) and output.dtype == np.int8
        sums = _SUMS[step.step.operator](step, [_chw(tensors[each]) for each in step.step.inputs])
        random = np.random.default_rng((seed, number))
        for place in zip(*(random.integers(0, size, CHECKED) for size in output.shape), strict=True):
            n, row, column, channel = map(int, place)
            values = [int(each[n, channel, row, column]) for each in sums]
            assert int(output[place]) == _code(step, values, channel), (step.step, place)


def test_every_operator_and_function_occurs() -> None:
    steps = [step for seed in SEEDS for step in program(random_spec(Random(seed))).steps]
    assert {step.operator for step in steps} == set(OPERATORS)
    assert {step.function for step in steps} == {"none", "relu", "relu6", "silu", "hardswish", "gelu", "sigmoid"}
    assert any(step.groups > 1 and step.operator == "conv" for step in steps)


def _chw(codes: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(codes.astype(np.float64)).movedim(3, 1)


def _convolution(step: IntegerStep, inputs: list[Tensor]) -> list[Tensor]:
    bias, weights = (torch.from_numpy(each.astype(np.float64)) for each in (step.bias, step.weights))
    x = inputs[0] - step.zeros[0]
    return [functional.conv2d(x, weights, bias, step.step.stride, step.step.padding, 1, step.step.groups)]


def _maximum(step: IntegerStep, inputs: list[Tensor]) -> list[Tensor]:
    return [
        functional.max_pool2d(inputs[0], step.step.kernel, step.step.stride, step.step.padding, ceil_mode=_ceil(step))
    ]


def _average(step: IntegerStep, inputs: list[Tensor]) -> list[Tensor]:
    kernel, stride, pad, zero = step.step.kernel, step.step.stride, step.step.padding, step.zeros[0]
    mean = functional.avg_pool2d(inputs[0] - zero, kernel, stride, pad, ceil_mode=_ceil(step)) + zero
    return [(mean * 10_080).round()]


def _ceil(step: IntegerStep) -> bool:
    """Only the pools of shortcuts round their output up."""
    return ".shortcut." in step.step.name


_SUMS: dict[str, Any] = {
    "input": lambda step, inputs: inputs,
    "conv": _convolution,
    "depthwise": _convolution,
    "maxpool": _maximum,
    "avgpool": _average,
    "mean": lambda step, inputs: [(inputs[0] - step.zeros[0]).sum((2, 3), keepdim=True)],
    "add": lambda step, inputs: [x - zero for x, zero in zip(inputs, step.zeros, strict=True)],
    "scale": lambda step, inputs: [(inputs[0] - step.zeros[0]) * (inputs[1] - step.zeros[1])],
}
"""What each operator computes before its codes."""


def _code(step: IntegerStep, sums: list[int], channel: int) -> int:
    """The code of the output for the sums, number by number."""
    factors = list(zip(step.multipliers.tolist(), step.shifts.tolist(), strict=True))
    operator = step.step.operator
    if operator == "input":
        return int(step.table[channel, sums[0]])
    if operator == "add":
        total = sum(multiply_by_quantized_multiplier(x << 20, *factors[i]) for i, x in enumerate(sums))
        code = multiply_by_quantized_multiplier(total, *factors[2]) + step.zero
    elif operator == "avgpool":
        code = c_divide(sums[0] + (5040 if sums[0] > 0 else -5040), 10_080)
    elif operator == "maxpool":
        code = sums[0]
    else:
        code = multiply_by_quantized_multiplier(sums[0], *factors[channel % len(factors)]) + step.zero
    code = min(max(code, step.low), step.high)
    return int(step.table[code + 128]) if step.table.size else code


def small() -> IntegerNetwork:
    return random_network(program(Recipe.load("quick").network), 5)


def test_batches_give_the_codes_of_single_images(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small()
    pixels = random_pixels(network.program, 7, 1)
    together = reference.run(network, pixels)
    monkeypatch.setattr(reference, "BATCH_ELEMENTS", 1)
    assert np.array_equal(reference.run(network, pixels), together)
    assert together.shape == (7, 10) and together.dtype == np.int8
    assert len(np.unique(together)) > 10


def test_no_images_have_no_codes() -> None:
    assert reference.run(small(), random_pixels(small().program, 0, 1)).shape == (0, 10)


def test_probabilities_are_those_of_the_numbers_for_which_the_codes_stand() -> None:
    network = small()
    pixels = random_pixels(network.program, 3, 1)
    codes = reference.run(network, pixels).astype(float)
    logits = (codes - network.logits.zero) * network.logits.scale / 2
    expected = torch.from_numpy(logits).softmax(1).numpy()
    assert np.allclose(reference.probabilities(network, pixels, temperature=2.0), expected)
