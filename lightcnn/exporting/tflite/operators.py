"""Steps of a program as operators of `.tflite`: the same network, in int8 with the same scales or in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import LightcnnError
from lightcnn.exporting.tflite.flatbuffer import TfliteFile
from lightcnn.integer.network import IntegerNetwork, Quantization
from lightcnn.integer.tables import SIGMOID
from lightcnn.program import CONVOLUTIONS, Program, Step

FUSED = {"none": 0, "relu": 1, "relu6": 3}
"""Functions that are part of an operator, with their number in the format."""
SAME, VALID = 0, 1
"""Numbers of the two kinds of padding."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """What the file stores for a step.

    `weights` (out, in / groups, rows, columns) and `bias` (out,) are those of a convolution. In int8, `scales` (out,)
    belong to the weights, and `before` is the quantization of the output before a function that is an operator.
    """

    weights: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    scales: NDArray[np.float32] | None = None
    before: Quantization | None = None


def int8_bytes(network: IntegerNetwork) -> bytes:
    """The file of a quantized network: int8 codes (1, H, W, C) of the normalised image → those of the logits.

    Its codes are those of the network if all functions are none, relu, relu6 or sigmoid. SiLU becomes LOGISTIC and MUL,
    which round twice.

    Raises: LightcnnError for what the format has no operator for.
    """
    numbers = []
    for integer in network.steps:
        before = Quantization(integer.scale, integer.zero)
        scales: NDArray[np.float32] | None = None
        if integer.step.operator in CONVOLUTIONS:
            # A multiplier has more digits than the scale that it was made from.
            factors = integer.multipliers * 2.0 ** (integer.shifts.astype(np.float64) - 31)
            source = network.quantizations[integer.step.inputs[0]]
            scales = (factors * before.scale / source.scale).astype(np.float32)
        numbers.append(Numbers(integer.weights, integer.bias, scales, before))
    return _bytes(network.program, numbers, network.quantizations)


def input_codes(network: IntegerNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The codes (N, H, W, C) of the normalised pixels uint8 (N, H, W, C), which an int8 file reads."""
    return np.stack([table[pixels[..., channel]] for channel, table in enumerate(network.steps[0].table)], axis=-1)


def float_bytes(program: Program, state: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The file in float32: the normalised image (1, H, W, C) → logits (1, 1, 1, classes).

    `state` has the weights and biases of the folded network by name. Raises: LightcnnError as above.
    """
    numbers = []
    for step in program.steps:
        if step.operator not in CONVOLUTIONS:
            numbers.append(Numbers())
            continue
        shape = program.weight_shape(step)
        bias = state.get(f"{step.weights}.bias", np.zeros(shape[0], np.float32))
        numbers.append(Numbers(state[f"{step.weights}.weight"].reshape(shape), bias))
    return _bytes(program, numbers, [None] * len(program.shapes))


def _bytes(program: Program, numbers: list[Numbers], quantizations: Any) -> bytes:
    writer = _Writer(program, quantizations)
    writer.output(program.steps[0])
    for step, stored in zip(program.steps[1:], numbers[1:], strict=True):
        _WRITERS[step.operator](writer, step, stored)
    return writer.file.packed(writer.places[program.output])


@dataclass
class _Writer:
    """The file so far; `places` are the numbers in it of the tensors of the program."""

    program: Program
    quantizations: list[Quantization | None]
    file: TfliteFile = field(default_factory=TfliteFile)
    places: dict[int, int] = field(default_factory=dict)

    def output(self, step: Step) -> int:
        """Adds the output of a step."""
        tensor = step.output
        self.places[tensor] = self.file.activation(self.program.shapes[tensor], self.quantizations[tensor])
        return self.places[tensor]

    def add(self, step: Step, numbers: Numbers, name: str, inputs: list[int], kind: str, **options: Any) -> None:
        """Adds an operator and the function of its step."""
        if step.function in FUSED:
            fused = {"fusedActivationFunction": FUSED[step.function]}
            self.file.operator(name, inputs, self.output(step), kind, **options, **fused)
            return
        before = self.file.activation(self.program.shapes[step.output], numbers.before)
        self.file.operator(name, inputs, before, kind, **options)
        if step.function == "silu":
            gate = self.file.activation(self.program.shapes[step.output], SIGMOID if numbers.before else None)
            self.file.operator("LOGISTIC", [before], gate)
            self.file.operator("MUL", [before, gate], self.output(step), "MulOptions")
        elif step.function in _FUNCTIONS:
            self.file.operator(_FUNCTIONS[step.function], [before], self.output(step))
        else:
            raise LightcnnError(f"{step.name}: {step.function} is not an operator of TensorFlow Lite Micro")


_FUNCTIONS = {"sigmoid": "LOGISTIC", "hardswish": "HARD_SWISH"}


def _convolution(writer: _Writer, step: Step, numbers: Numbers) -> None:
    weights, bias = numbers.weights, numbers.bias
    assert weights is not None and bias is not None
    depthwise = step.operator == "depthwise"
    stored = weights.transpose(1, 2, 3, 0) if depthwise else weights.transpose(0, 2, 3, 1)
    given, padding = _padded(writer, step)
    bias_scales = None
    if numbers.scales is not None:
        source = writer.quantizations[step.inputs[0]]
        assert source is not None
        bias_scales = numbers.scales * np.float32(source.scale)
    inputs = [
        given,
        writer.file.constant(stored, numbers.scales, axis=3 if depthwise else 0),
        writer.file.constant(bias, bias_scales),
    ]
    options = {"padding": padding, "strideH": step.stride, "strideW": step.stride}
    if depthwise:
        writer.add(step, numbers, "DEPTHWISE_CONV_2D", inputs, "DepthwiseConv2DOptions", depthMultiplier=1, **options)
    else:
        writer.add(step, numbers, "CONV_2D", inputs, "Conv2DOptions", **options)


def _padded(writer: _Writer, step: Step) -> tuple[int, int]:
    """The tensor that a window moves over, with a border if the format's own padding is another; and its padding."""
    program, given, pad = writer.program, writer.places[step.inputs[0]], step.padding
    before, after = program.shapes[step.inputs[0]], program.shapes[step.output]
    counted = step.operator == "avgpool" and pad > 0
    if not counted and all(_is_same(before[side], after[side], step, step.kernel[side - 1]) for side in (1, 2)):
        return given, SAME
    ends = [(before[side] + 2 * pad - step.kernel[side - 1]) // step.stride + 1 for side in (1, 2)]
    if ends != list(after[1:]):
        raise LightcnnError(f"{step.name}: .tflite has no windows that end beyond the padding; use an even input size")
    return (_with_border(writer, step) if pad else given), VALID


def _is_same(before: int, after: int, step: Step, kernel: int) -> bool:
    """Whether the format's padding "SAME" gives the same windows."""
    total = max(0, (after - 1) * step.stride + kernel - before)
    return after == -(-before // step.stride) and total // 2 == step.padding


def _with_border(writer: _Writer, step: Step) -> int:
    """Adds the input of a step with its padding: zeros, or the smallest number for a maximum."""
    channels, height, width = writer.program.shapes[step.inputs[0]]
    quantization, pad = writer.quantizations[step.inputs[0]], step.padding
    padded = writer.file.activation((channels, height + 2 * pad, width + 2 * pad), quantization)
    border = np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32)
    inputs = [writer.places[step.inputs[0]], writer.file.constant(border)]
    if step.operator != "maxpool":
        writer.file.operator("PAD", inputs, padded, "PadOptions")
        return padded
    if quantization:
        least = writer.file.constant(np.array([-128], np.int8), np.array([quantization.scale]), zero=quantization.zero)
    else:
        least = writer.file.constant(np.array([np.finfo(np.float32).min]))
    writer.file.operator("PADV2", [*inputs, least], padded, "PadV2Options")
    return padded


def _pool(writer: _Writer, step: Step, numbers: Numbers) -> None:
    given, padding = _padded(writer, step)
    name = "MAX_POOL_2D" if step.operator == "maxpool" else "AVERAGE_POOL_2D"
    writer.add(
        step, numbers, name, [given], "Pool2DOptions", padding=padding, strideH=step.stride, strideW=step.stride,
        filterHeight=step.kernel[0], filterWidth=step.kernel[1],
    )  # fmt: skip


def _mean(writer: _Writer, step: Step, numbers: Numbers) -> None:
    axes = writer.file.constant(np.array([1, 2], np.int32))
    writer.file.operator(
        "MEAN", [writer.places[step.inputs[0]], axes], writer.output(step), "ReducerOptions", keepDims=True
    )


def _pair(writer: _Writer, step: Step, numbers: Numbers) -> None:
    name, kind = ("ADD", "AddOptions") if step.operator == "add" else ("MUL", "MulOptions")
    writer.add(step, numbers, name, [writer.places[tensor] for tensor in step.inputs], kind)


_WRITERS: dict[str, Callable[[_Writer, Step, Numbers], None]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    "maxpool": _pool,
    "avgpool": _pool,
    "mean": _mean,
    "add": _pair,
    "scale": _pair,
}
