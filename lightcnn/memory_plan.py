"""The memory of the generated C, exactly and from the spec alone: the places of tensors, and the flash. No torch.

Tensors that are alive at the same time get different places in one static buffer, the arena, which holds the pixels of
the image, all activations in int8, and the logits. Elementwise operators write over an operand that no later step
reads. A convolution or a pool that is the last to read its input may overlap it: its output begins so far before the
input, or ends so far behind it (`lead_bytes`), that every pixel is written after all reads of what it overwrites. The C
computes pixels from the first to the last, or backward if the output begins behind the input. Flash is the constants
that the generator writes and an allowance for the code of the kernels that are used.
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

    At step `first`, it may overlap the buffer `source`, which ends then, if it begins `lead` bytes before it or ends
    `trail` bytes behind it.
    """

    tensors: list[int]
    size: int
    first: int
    last: int
    offset: int = 0
    source: _Buffer | None = None
    lead: int = 0
    trail: int = 0

    def overlaps(self, other: _Buffer) -> bool:
        """Whether both are occupied during some step."""
        return self.first <= other.last and other.first <= self.last

    def below(self, other: _Buffer) -> int:
        """The bytes by which this buffer must begin before another one that is above it."""
        if self.may_overlap(other):
            return self.lead
        return self.size + other.trail - other.size if other.may_overlap(self) else self.size

    def may_overlap(self, source: _Buffer) -> bool:
        """Whether this buffer is written over another one, which ends then."""
        return self.source is source and source.last == self.first


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
    return max(_needed(buffers, new) for new in buffers)


def _needed(buffers: Sequence[_Buffer], new: _Buffer) -> int:
    """The least bytes in which a buffer can be at its first step, with all others that are occupied then."""
    total = sum(buffer.size for buffer in buffers if buffer.first <= new.first <= buffer.last)
    source = new.source
    if source is None or not new.may_overlap(source):
        return total
    return total - source.size - new.size + max(min(new.lead, new.trail) + source.size, new.size)


ROUNDS = 4
"""Rounds for each order. The arenas of 200 random networks have 918,377 bytes in total with 4 rounds (0.6 ms each);
at least 918,371 are alive. Without steps that run backward, they had 929,950 (1.7 ms); without overlaps, 1,370,120."""
_ORDERS: tuple[Callable[[_Buffer], tuple[int, ...]], ...] = (
    lambda buffer: (-buffer.size, buffer.first),
    lambda buffer: (-buffer.size * (buffer.last - buffer.first + 1), buffer.first),
    lambda buffer: (buffer.first, -buffer.size),
    lambda buffer: (-buffer.first, -buffer.size),
)
"""The orders in which buffers are placed: by size, by size and lifetime, in the order of the steps, and against it."""


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
    of_tensor = {0: _Buffer([0], program.elements(0), -1, -1)}  # written before the first step
    for index, step in enumerate(program.steps):
        for tensor in step.inputs:
            of_tensor[tensor].last = index
        shared = shares_input(program, index)
        if shared is None:
            of_tensor[step.output] = buffer = _Buffer([step.output], program.elements(step.output), index, index)
            if step.operator in WINDOWED:
                buffer.source = of_tensor[step.inputs[0]]
                buffer.lead, buffer.trail = lead_bytes(program, step)
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
"""Operators whose output may overlap their input. They compute pixel by pixel, backward if the output begins behind."""


def lead_bytes(program: Program, step: Step) -> tuple[int, int]:
    """How many bytes the output of a step must begin before its input, and how many it must end behind it.

    Forward, a pixel of the output must end where its window begins, or before. Backward is the same from the other end.
    More than the bytes of the output are never needed.
    """
    sizes = zip(step.kernel, program.shapes[step.inputs[0]][1:], program.shapes[step.output][1:], strict=True)
    behind = [(out_size - 1) * step.stride + kernel - step.padding - size for kernel, size, out_size in sizes]
    most = program.elements(step.output)
    return min(most, _lead(program, step, [step.padding] * 2)), min(most, _lead(program, step, behind))


def _lead(program: Program, step: Step, padding: Sequence[int]) -> int:
    """The most bytes from the beginning of a window to the end of its pixel, with that padding before rows and columns.

    Windows in the padding begin at row or column 0; behind them, the difference grows or falls evenly, so it is largest
    at one of the ends.
    """
    channels, _, width = program.shapes[step.inputs[0]]
    out_channels, out_height, out_width = program.shapes[step.output]

    def largest(size: int, edge: int, bytes_in: int, bytes_out: int) -> int:
        places = (min(max(0, place), size - 1) for place in (0, edge // step.stride, edge // step.stride + 1, size - 1))
        return max(place * bytes_out - max(0, place * step.stride - edge) * bytes_in for place in places)

    rows = largest(out_height, padding[0], width * channels, out_width * out_channels)
    return rows + largest(out_width, padding[1], channels, out_channels) + out_channels


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


COMMON_CODE_BYTES = 1192
"""Code that every network has: `input`, `conv`, the loop over the layers; 1,176 bytes, and up to 16 for alignment."""
CODE_BYTES = {"depthwise": 416, "maxpool": 112, "avgpool": 144, "mean": 240, "add": 240, "scale": 136}
"""The most that a kernel adds to the code of any set of other kernels (gcc 12.2, -Os -mcpu=cortex-m4 -mthumb).

Together they exceed the code by 16 to 272 bytes for 48 sets of kernels with three logits, and by at most 296 with one
logit, on a Cortex-M7. A test compares the sets that leave the least with what the linker states.
"""
