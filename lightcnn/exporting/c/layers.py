"""The layers of the generated C: a record of fixed size for every step, and the constants that the records point to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError
from lightcnn.integer.network import IntegerNetwork, IntegerStep
from lightcnn.memory_plan import plan_memory
from lightcnn.program import CONVOLUTIONS

MAX_FIELD = 2**16 - 1
"""Largest number of rows, columns, channels or groups: they are uint16 in a record."""
MAX_SUM = 2**31 - 1
"""Largest sum of a layer: sums are int32."""
FIELDS = (
    "input", "other", "output", "words", "bytes",
    "height", "width", "channels", "out_height", "out_width", "out_channels",
    "kernel_height", "kernel_width", "stride", "groups",
    "operator", "padding", "has_table", "zero", "other_zero", "out_zero", "low", "high",
)  # fmt: skip
"""The fields of a record, in the order of `Layer` in kernels.c."""


@dataclass(frozen=True, eq=False)
class CLayer:
    """A step as the generated C has it.

    Args:
        name: Name of the step.
        operator: Operator of the step, which names the kernel.
        record: Values of the fields of the record.
        words: The int32 constants.
        bytes: The int8 constants.
    """

    name: str
    operator: str
    record: dict[str, int]
    words: NDArray[np.int32]
    bytes: NDArray[np.int8]


def layers_of(network: IntegerNetwork) -> list[CLayer]:
    """The layers of a network. Raises: InputError if a layer exceeds what C with 32 bits can compute."""
    plan = plan_memory(network.program)
    layers: list[CLayer] = []
    words = size = 0
    for step in network.steps:
        own_words, own_bytes = _words(step), _bytes(step)
        record = _record(network, step, plan.offsets) | {"words": words, "bytes": size}
        layers.append(CLayer(step.step.name, step.step.operator, record, own_words, own_bytes))
        words, size = words + len(own_words), size + len(own_bytes)
        _require_bounds(network, step, record)
    return layers


def _record(network: IntegerNetwork, step: IntegerStep, offsets: tuple[int, ...]) -> dict[str, int]:
    program, operation = network.program, step.step
    channels, height, width = program.shapes[operation.inputs[0]]
    out_channels, out_height, out_width = program.shapes[operation.output]
    kernel = (height, width) if operation.operator == "mean" else operation.kernel
    zeros = (*step.zeros, 0, 0)
    return {
        "input": offsets[operation.inputs[0]], "other": offsets[operation.inputs[-1]],
        "output": offsets[operation.output],
        "height": height, "width": width, "channels": channels,
        "out_height": out_height, "out_width": out_width, "out_channels": out_channels,
        "kernel_height": min(kernel[0], height + operation.padding * 2),
        "kernel_width": min(kernel[1], width + operation.padding * 2),
        "stride": min(operation.stride, MAX_FIELD), "groups": operation.groups, "padding": operation.padding,
        "has_table": int(_has_table(step)), "zero": zeros[0], "other_zero": zeros[1], "out_zero": step.zero,
        "low": step.low, "high": step.high,
    }  # fmt: skip


def _has_table(step: IntegerStep) -> bool:
    """Whether the output is looked up; the tables of `input` are those of its kernel."""
    return step.table.size > 0 and step.step.operator != "input"


def _words(step: IntegerStep) -> NDArray[np.int32]:
    """The bias and the multiplier of every channel of a convolution in turn; the multipliers of other operators."""
    if step.step.operator not in CONVOLUTIONS:
        return step.multipliers.astype(np.int32)
    bias = step.bias.astype(np.int64) - _folded_zero(step) * _sums(step.weights.astype(np.int64))
    clipped = np.clip(bias, -MAX_SUM, MAX_SUM)  # beyond it, _require_bounds raises
    return np.stack([clipped, step.multipliers], axis=1).astype(np.int32).ravel()


def _folded_zero(step: IntegerStep) -> int:
    """The zero whose product with the weights is part of the bias."""
    return step.zeros[0] if step.step.operator == "conv" else 0


def _sums(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(weights.sum(axis=(1, 2, 3)))


def _bytes(step: IntegerStep) -> NDArray[np.int8]:
    """The table if any, the shifts, and the weights in the order in which the kernel reads them."""
    axes = (2, 3, 0, 1) if step.step.operator == "depthwise" else (0, 2, 3, 1)
    weights = step.weights.transpose(axes) if step.weights.size else step.weights
    return np.concatenate([part.astype(np.int8).ravel() for part in (step.table, step.shifts, weights)])


def _require_bounds(network: IntegerNetwork, step: IntegerStep, record: dict[str, int]) -> None:
    """Raises: InputError if a number of the layer does not fit into its type."""
    for rule, value, limit in _bounds(network, step, record):
        if value > limit:
            raise InputError(
                f"--to c: layer {step.step.name}: {rule} {value:,}, at most {limit:,} in the generated C; "
                "use a smaller network, or --to onnx-int8"
            )


def _bounds(network: IntegerNetwork, step: IntegerStep, record: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    """What is limited in a layer: (what it has, its value, the limit)."""
    sizes = ("height", "width", "channels", "out_channels", "groups")
    yield "has a size of", max(record[name] for name in sizes), MAX_FIELD
    if step.step.operator == "mean":
        yield "has sums of", 256 * record["kernel_height"] * record["kernel_width"], MAX_SUM
    if step.step.operator in CONVOLUTIONS:
        yield "has sums of", _largest_sum(step), MAX_SUM


def _largest_sum(step: IntegerStep) -> int:
    """The largest absolute value that a partial sum of a convolution can have."""
    weights, zero = step.weights.astype(np.int64), _folded_zero(step)
    bias = np.abs(step.bias.astype(np.int64) - zero * _sums(weights))
    largest = 128 if step.step.operator == "conv" else 128 + abs(step.zeros[0])
    return int((bias + largest * _sums(np.abs(weights))).max())
