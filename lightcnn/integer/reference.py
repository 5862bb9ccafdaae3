"""What a quantized network computes, in NumPy: the same codes as the generated C. No torch.

The sums of convolutions are products of matrices of floating-point numbers. They are exact, because every partial sum
is an integer below 2^24 (float32) or 2^53 (float64).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.decisions import class_probabilities
from lightcnn.integer.arithmetic import ADD_SHIFT, rescale, rounding_divide
from lightcnn.integer.network import IntegerNetwork, IntegerStep
from lightcnn.integer.tables import HIGH, LOW, decode
from lightcnn.program import CONVOLUTIONS, PIXELS, Program, Step

BATCH_ELEMENTS = 1_000_000
"""Elements of the largest tensor of a batch: about 50 MB, and faster than larger batches."""
_EXACT_FLOAT32 = 2**24
_Codes = NDArray[np.int8]
_Sums = NDArray[np.int64]
_Shape = tuple[int, ...]


def run(network: IntegerNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The codes of the logits.

    Args:
        network: The quantized network.
        pixels: uint8 images (N, H, W, C) of the network's size.

    Returns:
        int8 (N, logits); `network.logits` is their quantization.
    """
    program = network.program
    batch = max(1, BATCH_ELEMENTS // program.largest)
    starts = range(0, len(pixels), batch)
    outputs = [_last(network, pixels[start : start + batch]) for start in starts]
    return np.concatenate([np.empty((0, program.elements(program.output)), np.int8), *outputs])


def probabilities(
    network: IntegerNetwork, pixels: NDArray[np.uint8], *, temperature: float = 1.0
) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of uint8 images (N, H, W, C) of the network's size."""
    return class_probabilities(decode(run(network, pixels), network.logits), temperature)


def tensors(network: IntegerNetwork, pixels: NDArray[np.uint8]) -> list[NDArray[np.integer]]:
    """All tensors (N, H, W, C) by their number, that of the pixels included; for few images."""
    results: dict[int, NDArray[np.integer]] = {PIXELS: pixels}
    for step in network.steps:
        results[step.step.output] = compute_step(network.program, step, results)
    return [results[tensor] for tensor in range(len(network.program.shapes))]


def _last(network: IntegerNetwork, pixels: NDArray[np.uint8]) -> _Codes:
    """The output of the last step; every tensor is dropped after the last step that reads it."""
    last = {tensor: index for index, step in enumerate(network.steps) for tensor in step.step.inputs}
    results: dict[int, NDArray[np.integer]] = {PIXELS: pixels}
    for index, step in enumerate(network.steps):
        results[step.step.output] = compute_step(network.program, step, results)
        for tensor in set(step.step.inputs):
            if last[tensor] == index:
                del results[tensor]
    return results[network.program.output].reshape(len(pixels), -1).astype(np.int8)


def compute_step(program: Program, step: IntegerStep, results: Mapping[int, NDArray[np.integer]]) -> _Codes:
    """The output (N, H, W, C) of a step."""
    inputs = [results[tensor] for tensor in step.step.inputs]
    shape = _shape(program, step.step, len(inputs[0]))
    operator = step.step.operator
    if operator == "input":
        return np.stack([table[inputs[0][..., channel]] for channel, table in enumerate(step.table)], axis=-1)
    if operator == "maxpool":
        return _maximum(inputs[0], step.step, shape)
    if operator == "avgpool":
        codes = _average(inputs[0], step, shape)
    elif operator in CONVOLUTIONS:
        codes = rescale(convolve(program, step, inputs[0]), step.multipliers, step.shifts) + step.zero
    else:
        centred = [x.astype(np.int64) - zero for x, zero in zip(inputs, step.zeros, strict=True)]
        codes = _ELEMENTWISE[operator](step, *centred) + step.zero
    clamped = np.clip(codes, step.low, step.high)
    return step.table[clamped - LOW] if step.table.size else clamped.astype(np.int8)


def _shape(program: Program, step: Step, images: int) -> _Shape:
    """Shape (N, H, W, C) of the output of a step."""
    channels, height, width = program.shapes[step.output]
    return images, height, width, channels


def convolve(program: Program, step: IntegerStep, x: NDArray[np.integer]) -> _Sums:
    """The sums (N, H, W, out) of a convolution of x (N, H, W, in), with their bias, before they are rescaled."""
    shape = _shape(program, step.step, len(x))
    largest = max(HIGH - step.zeros[0], step.zeros[0] - LOW)
    bound = largest * np.abs(step.weights.astype(np.int64)).sum((1, 2, 3)).max()
    kind = np.float32 if bound < _EXACT_FLOAT32 else np.float64
    weights = step.weights.astype(kind)
    sums = np.zeros(shape, kind)
    for row, column, window in _windows((x - np.int16(step.zeros[0])).astype(kind), step.step, shape):
        if step.step.operator == "depthwise":
            sums += window * weights[:, 0, row, column]
        else:
            _add_products(sums, window, weights[:, :, row, column], step.step.groups)
    return sums.astype(np.int64) + step.bias


def _add_products(sums: NDArray[Any], x: NDArray[Any], weights: NDArray[Any], groups: int) -> None:
    """Adds the products of x (N, rows, columns, in) and weights (out, in / groups) to sums (N, rows, columns, out)."""
    inputs, outputs = x.shape[-1] // groups, len(weights) // groups
    for group in range(groups):
        chosen = slice(group * outputs, (group + 1) * outputs)
        sums[..., chosen] += x[..., group * inputs : (group + 1) * inputs] @ weights[chosen].T


def _maximum(x: NDArray[np.integer], step: Step, shape: _Shape) -> _Codes:
    """The largest code of each window."""
    largest = np.full(shape, LOW, np.int8)
    for _, _, window in _windows(x, step, shape, padding=LOW, beyond=LOW):
        np.maximum(largest, window, out=largest)
    return largest


def _average(x: NDArray[np.integer], step: IntegerStep, shape: _Shape) -> _Sums:
    """The mean code of each window; padding has the code of the number 0, and cells beyond it are not counted."""
    sums = np.zeros(shape, np.int64)
    for _, _, window in _windows(x, step.step, shape, padding=step.zeros[0]):
        sums += window
    inside = np.ones((1, *x.shape[1:3], 1), np.int64)
    counts = sum(window for _, _, window in _windows(inside, step.step, (1, *shape[1:3], 1), padding=1))
    return rounding_divide(sums, counts)


def _windows(
    x: NDArray[Any], step: Step, shape: _Shape, *, padding: int = 0, beyond: int = 0
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """For each cell of the window (row, column), the values (N, rows, columns, C) under it at all positions.

    `padding` surrounds x, and `beyond` is outside of the padding.
    """
    stride, pad = step.stride, step.padding
    needed = [(size - 1) * stride + kernel for size, kernel in zip(shape[1:3], step.kernel, strict=True)]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=padding)
    missing = [max(0, size - length) for size, length in zip(needed, padded.shape[1:3], strict=True)]
    padded = np.pad(padded, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), constant_values=beyond)
    down, across = ((size - 1) * stride + 1 for size in shape[1:3])
    for row in range(step.kernel[0]):
        for column in range(step.kernel[1]):
            yield row, column, padded[:, row : row + down : stride, column : column + across : stride]


def _mean(step: IntegerStep, x: _Sums) -> _Sums:
    return rescale(x.sum(axis=(1, 2), keepdims=True), step.multipliers, step.shifts)


def _add(step: IntegerStep, first: _Sums, second: _Sums) -> _Sums:
    (a, b, out), shifts = step.multipliers, step.shifts
    total = rescale(first << ADD_SHIFT, a, shifts[0]) + rescale(second << ADD_SHIFT, b, shifts[1])
    return rescale(total, out, shifts[2])


def _scale(step: IntegerStep, x: _Sums, factors: _Sums) -> _Sums:
    return rescale(x * factors, step.multipliers, step.shifts)


_ELEMENTWISE: dict[str, Callable[..., _Sums]] = {"mean": _mean, "add": _add, "scale": _scale}
