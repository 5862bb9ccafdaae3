"""Makes a quantized network from a program, its weights, and the ranges of its tensors. No torch.

Weights have one scale per output channel and the zero 0; tensors have one scale and one zero. All scales are numbers of
float32, so that other formats can store them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError
from lightcnn.integer.arithmetic import ADD_SHIFT, mean_multiplier, multiplier
from lightcnn.integer.network import IntegerNetwork, IntegerStep, Quantization
from lightcnn.integer.ranges import MIN_SCALE, StepRange, quantization, trim
from lightcnn.integer.tables import HIGH, LOW, SIGMOID, activation_table, encode, input_table, normalised_pixel
from lightcnn.memory_plan import needs_table
from lightcnn.program import CONVOLUTIONS, Program, Step

MAX_WEIGHT = 127
"""Largest code of a weight; the smallest is its negative."""
MAX_STEPS = 2**26
"""Largest output of a step, in codes before they are clamped: sums that are shifted left then fit into int32."""
MAX_BIAS = 2**30
"""Largest bias; the scale of the weights of a channel is increased until its bias fits."""
MAX_CORRECTION = 2**20
"""Largest number by which a bias is corrected afterwards."""
MAX_DIFFERENCE = HIGH - LOW
"""Largest difference of two codes."""
_NO_BYTES = np.empty(0, np.int8)
_NO_WORDS = np.empty(0, np.int32)
State = Mapping[str, NDArray[np.float32]]


def quantize(
    program: Program, state: State, *, ranges: Sequence[StepRange], mean: Sequence[float], deviation: Sequence[float]
) -> IntegerNetwork:
    """The quantized network.

    Args:
        program: The program of the network.
        state: The weights and biases of the folded network by name.
        ranges: The ranges of the outputs of all steps.
        mean: Mean of the normalisation per channel, on the scale 0..1.
        deviation: Deviation of the normalisation per channel.

    Returns:
        The quantized network.

    Raises:
        InputError: If weights or ranges are not finite, or if sums of a step could exceed int32.
    """
    quantizations = [Quantization(1.0, LOW)]
    steps: list[IntegerStep] = []
    for step, extent in zip(program.steps, ranges, strict=True):
        inputs = [quantizations[tensor] for tensor in step.inputs]
        if step.operator == "input":
            made, output = _input(step, mean, deviation)
        elif step.operator in ("maxpool", "avgpool"):
            made, output = _pool(program, step, inputs[0]), inputs[0]
        elif step.operator in CONVOLUTIONS:
            made, output = _convolution(program, step, inputs[0], state, extent)
        else:
            made, output = _elementwise(program, step, inputs, extent)
        steps.append(made)
        quantizations.append(output)
    return IntegerNetwork(program, tuple(steps), tuple(quantizations))


def _input(step: Step, mean: Sequence[float], deviation: Sequence[float]) -> tuple[IntegerStep, Quantization]:
    """One scale for all channels, whose range is that of all pixels."""
    channels = list(zip(mean, deviation, strict=True))
    ends = [float(normalised_pixel(pixel, *channel)) for pixel in (0, 255) for channel in channels]
    output = quantization((min(ends), max(ends)))
    pixels = Quantization(1.0, LOW)
    return _step(step, [pixels], output, output, table=input_table(mean, deviation, output)), output


def _pool(program: Program, step: Step, codes: Quantization) -> IntegerStep:
    _, height, width = program.shapes[step.inputs[0]]
    cells = min(step.kernel[0], height) * min(step.kernel[1], width)
    _require_int32(step, cells * (HIGH - LOW))
    return _step(step, [codes], codes, codes)


def _convolution(
    program: Program, step: Step, x: Quantization, state: State, extent: StepRange
) -> tuple[IntegerStep, Quantization]:
    weights, bias = _weights(program, step, state)
    scales = weight_scales(program, step, state, x)
    codes = np.clip(np.rint(weights / scales[:, None, None, None]), -MAX_WEIGHT, MAX_WEIGHT)
    sums = np.rint(bias / (scales * x.scale))
    largest = max(HIGH - x.zero, x.zero - LOW) * np.abs(codes).sum((1, 2, 3)) + np.abs(sums)
    _require_int32(step, int(largest.max()) + MAX_CORRECTION)
    before, after = _outputs(step, extent, float((largest * scales).max()) * x.scale)
    pairs = [multiplier(x.scale * scale / before.scale) for scale in scales.tolist()]
    made = _step(step, [x], before, after, pairs=pairs, weights=codes.astype(np.int8), bias=sums.astype(np.int32))
    return made, after


def weight_scales(program: Program, step: Step, state: State, x: Quantization) -> NDArray[np.float64]:
    """The scales (out,) of the weights of a convolution of x: the largest weight is 127 if the bias is not huge."""
    weights, bias = _weights(program, step, state)
    scales = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / MAX_WEIGHT, np.abs(bias) / (x.scale * MAX_BIAS))
    return np.asarray(np.maximum(scales, MIN_SCALE), np.float32).astype(np.float64)


def _weights(program: Program, step: Step, state: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (out, in / groups, rows, columns) and bias (out,) of a convolution."""
    weights = state[f"{step.weights}.weight"].astype(np.float64).reshape(program.weight_shape(step))
    bias = state.get(f"{step.weights}.bias", np.zeros(len(weights), np.float32)).astype(np.float64)
    _require_finite(step, weights, bias)
    return weights, bias


def _elementwise(
    program: Program, step: Step, inputs: list[Quantization], extent: StepRange
) -> tuple[IntegerStep, Quantization]:
    """`mean`, `add` and `scale`."""
    scales = [each.scale for each in inputs]
    if step.operator == "mean":
        count = math.prod(program.shapes[step.inputs[0]][1:])
        _require_int32(step, count * MAX_DIFFERENCE)
        before, after = _outputs(step, extent, MAX_DIFFERENCE * scales[0])
        pairs = [mean_multiplier(scales[0] / before.scale, count)]
    elif step.operator == "add":
        before, after = _outputs(step, extent, MAX_DIFFERENCE * sum(scales))
        common = 2 * max(scales)
        factors = (*(scale / common for scale in scales), common / 2**ADD_SHIFT / before.scale)
        pairs = [multiplier(factor) for factor in factors]
    else:
        before, after = _outputs(step, extent, MAX_DIFFERENCE**2 * math.prod(scales))
        pairs = [multiplier(math.prod(scales) / before.scale)]
    return _step(step, inputs, before, after, pairs=pairs), after


def _outputs(step: Step, extent: StepRange, largest: float) -> tuple[Quantization, Quantization]:
    """The quantization before and after the function of a step whose largest possible output is `largest`."""
    min_scale = max(MIN_SCALE, largest / MAX_STEPS)
    _require_finite(step, np.array([*extent.before, *extent.after, largest]))
    if not needs_table(step):
        output = quantization(extent.after, min_scale)
        return output, output
    after = SIGMOID if step.function == "sigmoid" else quantization(extent.after)
    return quantization(trim(step.function, extent.before, after), min_scale), after


def _step(
    step: Step,
    inputs: Sequence[Quantization],
    before: Quantization,
    after: Quantization,
    *,
    pairs: Sequence[tuple[int, int]] = (),
    weights: NDArray[np.int8] = _NO_BYTES,
    bias: NDArray[np.int32] = _NO_WORDS,
    table: NDArray[np.int8] = _NO_BYTES,
) -> IntegerStep:
    """The integers of a step, with the bounds and the table of its function."""
    if needs_table(step):
        table = activation_table(step.function, before, after)
    return IntegerStep(
        step=step,
        weights=weights,
        bias=bias,
        multipliers=np.array([q for q, _ in pairs], np.int32),
        shifts=np.array([shift for _, shift in pairs], np.int8),
        zeros=tuple(each.zero for each in inputs),
        zero=before.zero,
        low=before.zero if step.function in ("relu", "relu6") else LOW,
        high=encode(6.0, before) if step.function == "relu6" else HIGH,
        table=table,
        scale=before.scale,
    )


def _require_finite(step: Step, *numbers: NDArray[np.float64]) -> None:
    if not all(np.isfinite(each).all() for each in numbers):
        raise InputError(f"int8: {step.name} has weights or outputs that are not finite; train the network again")


def _require_int32(step: Step, largest: int) -> None:
    if largest >= 2**31:
        raise InputError(
            f"int8: the sums of {step.name} can be {largest:,}, which exceeds int32 (at most {2**31 - 1:,}); "
            "use fewer channels or a smaller input"
        )
