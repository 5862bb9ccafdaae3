"""Runs a program in floating point on training images, and measures the ranges of its tensors. With torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn.blocks import activation
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.integer.ranges import StepRange
from lightcnn.program import CONVOLUTIONS, PIXELS, Program, Step

BATCH_ELEMENTS = 4_000_000
"""Elements of the largest tensor of a batch: 16 MB."""
Observer = Callable[[int, Tensor, Tensor], None]
"""Gets the index of a step, and its outputs (N, C, H, W) before and after the step's function."""


def run_program(
    program: Program, state: Mapping[str, Tensor], inputs: Tensor, observe: Observer | None = None
) -> Tensor:
    """The logits (N, logits) of a program in floating point.

    Args:
        program: The program.
        state: The weights and biases of the folded network by name.
        inputs: Normalised images (N, C, H, W).
        observe: Called after each step.
    """
    results = {PIXELS: inputs}
    for index, step in enumerate(program.steps):
        before = _compute(program, step, [results[tensor] for tensor in step.inputs], state)
        results[step.output] = after = _apply(step.function, before)
        if observe is not None:
            observe(index, before, after)
    return results[program.output].flatten(1)


def measure_ranges(
    program: Program, state: Mapping[str, Tensor], images: Tensor, preprocess: Preprocess
) -> tuple[StepRange, ...]:
    """The smallest and largest outputs of all steps over uint8 images (N, C, S, S)."""
    extremes: list[list[Tensor]] = [[] for _ in program.steps]

    def observe(index: int, before: Tensor, after: Tensor) -> None:
        extremes[index].append(torch.stack([*before.aminmax(), *after.aminmax()]))

    _run_in_batches(program, state, images, preprocess, observe)
    return tuple(_range(torch.stack(rows)) for rows in extremes)


def measure_means(
    program: Program, state: Mapping[str, Tensor], images: Tensor, preprocess: Preprocess
) -> list[NDArray[np.float64]]:
    """The mean output (channels,) of each step before its function, over uint8 images (N, C, S, S)."""
    sums: list[list[Tensor]] = [[] for _ in program.steps]

    def observe(index: int, before: Tensor, after: Tensor) -> None:
        sums[index].append(before.double().mean((2, 3)).sum(0))

    _run_in_batches(program, state, images, preprocess, observe)
    return [torch.stack(rows).sum(0).numpy() / len(images) for rows in sums]


def _run_in_batches(
    program: Program, state: Mapping[str, Tensor], images: Tensor, preprocess: Preprocess, observe: Observer
) -> None:
    batch = max(1, BATCH_ELEMENTS // program.largest)
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            run_program(program, state, normalise(images[start : start + batch], preprocess), observe)


def _range(rows: Tensor) -> StepRange:
    lows, highs = rows.amin(0).tolist(), rows.amax(0).tolist()
    return StepRange((lows[0], highs[1]), (lows[2], highs[3]))


def _apply(function: str, x: Tensor) -> Tensor:
    result: Tensor = x.sigmoid() if function == "sigmoid" else activation(function)(x)
    return result


def _compute(program: Program, step: Step, inputs: list[Tensor], state: Mapping[str, Tensor]) -> Tensor:
    x = inputs[0]
    if step.operator in CONVOLUTIONS:
        weights = state[f"{step.weights}.weight"].reshape(program.weight_shape(step))
        bias = state.get(f"{step.weights}.bias")
        return functional.conv2d(x, weights, bias, step.stride, step.padding, 1, step.groups)
    if step.operator in ("maxpool", "avgpool"):
        pool = functional.max_pool2d if step.operator == "maxpool" else functional.avg_pool2d
        pooled: Tensor = pool(x, step.kernel, step.stride, step.padding, ceil_mode=_rounds_up(program, step))
        return pooled
    if step.operator == "mean":
        return x.mean((2, 3), keepdim=True)
    if step.operator == "add":
        return x + inputs[1]
    return x * inputs[1] if step.operator == "scale" else x


def _rounds_up(program: Program, step: Step) -> bool:
    """Whether the last window of a pool reaches beyond the input."""
    sizes = zip(program.shapes[step.inputs[0]][1:], program.shapes[step.output][1:], step.kernel, strict=True)
    return any((after - 1) * step.stride + kernel > before + 2 * step.padding for before, after, kernel in sizes)
