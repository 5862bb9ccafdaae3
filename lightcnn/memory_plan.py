"""The memory of the generated C, exactly and from the spec alone: the places of tensors, and the flash. No torch.

Tensors that are alive at the same time get different places in one static buffer, the arena, which holds the pixels of
the image, all activations in int8, and the logits. Elementwise operators write over an operand that no later step
reads. A convolution or a pool that is the last to read its input may overlap it: its output begins so far before the
input (`lead_bytes`) that every pixel is written after all reads of what it overwrites. Flash is the constants that the
generator writes and an allowance for the code of the kernels that are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lightcnn.program import CONVOLUTIONS, Program, Step

RECORD_BYTES = 48
"""Bytes of the record of a layer in the generated C; the compiler checks it."""
TABLE_BYTES = 256
"""Bytes of the table of a function: one for every int8 code."""
CLAMPED = ("none", "relu", "relu6")
"""Functions that need no table: the output is clamped to the range of its codes."""


@dataclass(frozen=True)
class MemoryPlan:
    """The offset in bytes of every tensor in the arena, by its number, and the bytes of the arena."""

    offsets: tuple[int, ...]
    arena_bytes: int


@dataclass
class _Buffer:
    """Tensors that share one place; it is occupied from step `first` to step `last`, both included.

    At step `first`, it may overlap the buffer `source`, which ends then, if it begins `lead` bytes before it.
    """

    tensors: list[int]
    size: int
    first: int
    last: int
    offset: int = 0
    source: _Buffer | None = None
    lead: int = 0

    def overlaps(self, other: _Buffer) -> bool:
        """Whether both are occupied during some step."""
        return self.first <= other.last and other.first <= self.last

    def below(self, other: _Buffer) -> int:
        """The bytes by which this buffer must begin before another one that is above it."""
        return self.lead if self.source is other and other.last == self.first else self.size


def plan_memory(program: Program) -> MemoryPlan:
    """Places all tensors of a program, each element in one byte, so that the arena is small.

    The buffers are placed one after the other where the arena grows least, in several orders (greedy by size:
    arXiv:2001.03288); then, round by round, the buffer that ends highest is placed first.
    """
    buffers = _buffers(program)
    arena, order = min(_arenas(buffers), key=lambda each: each[0])
    _place(order)
    offsets = {tensor: buffer.offset for buffer in buffers for tensor in buffer.tensors}
    return MemoryPlan(tuple(offsets[tensor] for tensor in range(len(program.shapes))), arena)


def _arenas(buffers: list[_Buffer]) -> Iterator[tuple[int, list[_Buffer]]]:
    """The bytes of the arena for each order that is tried; ends with an order that cannot be improved."""
    needed = _live_bytes(buffers)
    for key in _ORDERS:
        order = sorted(buffers, key=key)
        for _ in range(ROUNDS):
            arena = _place(order)
            yield arena, list(order)
            if arena == needed:
                return
            order.insert(0, order.pop(max(range(len(order)), key=lambda n: order[n].offset + order[n].size)))


def live_bytes(program: Program) -> int:
    """The bytes of tensors that are alive at the same time, at most, with overlaps: no arena is smaller."""
    return _live_bytes(_buffers(program))


def _live_bytes(buffers: Sequence[_Buffer]) -> int:
    return max(_needed(buffers, step) for step in {buffer.first for buffer in buffers})


def _needed(buffers: Sequence[_Buffer], step: int) -> int:
    """The least bytes in which the buffers of a step can be."""
    live = [buffer for buffer in buffers if buffer.first <= step <= buffer.last]
    saved = [
        buffer.source.size + buffer.size - max(buffer.lead + buffer.source.size, buffer.size)
        for buffer in live
        if buffer.first == step and buffer.source is not None and buffer.source.last == step
    ]
    return sum(buffer.size for buffer in live) - sum(saved)


ROUNDS = 4
"""Rounds for each order. The arenas of 200 random networks have 929,950 bytes in total with 4 rounds (2 ms each),
928,010 with 16 (6 ms), 937,680 with 2 (1 ms); without overlaps of input and output, they have 1,370,120."""
_ORDERS: tuple[Callable[[_Buffer], tuple[int, ...]], ...] = (
    lambda buffer: (-buffer.size, buffer.first),
    lambda buffer: (buffer.first - buffer.last, -buffer.size, buffer.first),
    lambda buffer: (-buffer.size * (buffer.last - buffer.first + 1), buffer.first),
    lambda buffer: (buffer.first, -buffer.size),
    lambda buffer: (-buffer.first, -buffer.size),
)
"""The orders in which buffers are placed: by size, by lifetime, by both, in the order of the steps, and against it."""


def shares_input(program: Program, index: int) -> int | None:
    """The tensor over which the step with that index writes its output, or None."""
    step = program.steps[index]
    if step.operator not in ("input", "add", "scale"):
        return None
    later = {tensor for other in program.steps[index + 1 :] for tensor in other.inputs}
    candidates = step.inputs[:1] if step.operator != "add" else step.inputs
    return next((tensor for tensor in candidates if tensor not in later), None)


def _buffers(program: Program) -> list[_Buffer]:
    """The buffers of a program, with their lifetimes."""
    of_tensor = {0: _Buffer([0], program.elements(0), 0, 0)}
    for index, step in enumerate(program.steps):
        for tensor in step.inputs:
            of_tensor[tensor].last = index
        shared = shares_input(program, index)
        if shared is None:
            of_tensor[step.output] = _Buffer([step.output], program.elements(step.output), index, index)
            if step.operator in WINDOWED:
                of_tensor[step.output].source = of_tensor[step.inputs[0]]
                of_tensor[step.output].lead = min(lead_bytes(program, step), program.elements(step.output))
        else:
            of_tensor[step.output] = of_tensor[shared]
            of_tensor[shared].tensors.append(step.output)
    return list({id(buffer): buffer for buffer in of_tensor.values()}.values())


def _place(buffers: Sequence[_Buffer]) -> int:
    """Sets the offsets of buffers in this order; returns the bytes of the arena."""
    low = high = 0
    for number, buffer in enumerate(buffers):
        others = [other for other in buffers[:number] if buffer.overlaps(other)]
        buffer.offset = min(
            _free_offsets(buffer, others),
            key=lambda offset: (max(high, offset + buffer.size) - min(low, offset), abs(offset)),
        )
        low, high = min(low, buffer.offset), max(high, buffer.offset + buffer.size)
    for buffer in buffers:
        buffer.offset -= low
    return high - low


def _free_offsets(buffer: _Buffer, others: Sequence[_Buffer]) -> Iterator[int]:
    """The offsets next to other buffers, and 0, at which a buffer is free of all of them; they may be negative."""
    taken = [(other.offset - buffer.below(other), other.offset + other.below(buffer)) for other in others]
    for offset in {0, *(end for pair in taken for end in pair)}:
        if not any(last_before < offset < first_after for last_before, first_after in taken):
            yield offset


WINDOWED = (*CONVOLUTIONS, "maxpool", "avgpool")
"""Operators whose output may overlap their input. They compute pixel after pixel, row by row."""


def lead_bytes(program: Program, step: Step) -> int:
    """How many bytes before its input the output of a step must begin, so that nothing is overwritten too early.

    A pixel of the output must end where this and all later windows begin, or before. Windows at the left and upper edge
    begin at column and row 0; behind them, the difference grows or falls evenly, so it is largest at one of the ends.
    """
    channels, _, width = program.shapes[step.inputs[0]]
    out_channels, out_height, out_width = program.shapes[step.output]
    edge = step.padding // step.stride

    def start(row: int, column: int) -> int:
        top, left = (max(0, place * step.stride - step.padding) for place in (row, column))
        return (top * width + left) * channels

    def end(row: int, column: int) -> int:
        return (row * out_width + column + 1) * out_channels

    rows, columns = (
        {min(place, size - 1) for place in (0, edge, edge + 1, size - 1)} for size in (out_height, out_width)
    )
    return max(end(row, column) - min(start(row, column), start(row + 1, 0)) for row in rows for column in columns)


def needs_table(step: Step) -> bool:
    """Whether a step looks its outputs up in a table."""
    return step.function not in CLAMPED


def word_count(program: Program) -> int:
    """Number of int32 constants: biases and multipliers per output channel, and the multipliers of other operators."""
    return sum(_WORDS.get(step.operator, 0) for step in program.steps) + sum(
        2 * program.weight_shape(step)[0] for step in program.steps if step.operator in CONVOLUTIONS
    )


_WORDS = {"mean": 1, "add": 3, "scale": 1}
"""Multipliers of operators that have a fixed number of them."""


def byte_count(program: Program) -> int:
    """Number of int8 constants: weights, shifts, and tables."""
    total = 0
    for step in program.steps:
        if step.operator in CONVOLUTIONS:
            width, channels, rows, columns = program.weight_shape(step)
            total += width * channels * rows * columns + width
        total += _WORDS.get(step.operator, 0) + TABLE_BYTES * needs_table(step)
        if step.operator == "input":
            total += TABLE_BYTES * program.shapes[0][0]
    return total


def constant_bytes(program: Program) -> int:
    """Bytes of all constants of the generated C: the two arrays, and a record for every step."""
    return 4 * word_count(program) + byte_count(program) + RECORD_BYTES * len(program.steps)


def flash_bytes(program: Program) -> int:
    """Bytes of flash that suffice for the generated C at -Os: its constants, and the allowance for its code."""
    operators = {step.operator for step in program.steps}
    return constant_bytes(program) + COMMON_CODE_BYTES + sum(CODE_BYTES.get(operator, 0) for operator in operators)


COMMON_CODE_BYTES = 1184
"""Code that every network has: `input`, `conv`, the loop over the layers; 1,164 bytes, and up to 16 for alignment."""
CODE_BYTES = {"depthwise": 416, "maxpool": 112, "avgpool": 144, "mean": 240, "add": 240, "scale": 200}
"""The most that a kernel adds to the code of any set of other kernels (gcc 12.2, -Os -mcpu=cortex-m4 -mthumb).

Together they exceed the code by at most 330 bytes. A test compares them with what the linker states.
"""
