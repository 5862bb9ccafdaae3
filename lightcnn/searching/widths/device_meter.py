"""Measures the flash and the arena of a shape with other widths, part by part, as `meter` measures everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from lightcnn.budget import Budget, Cost
from lightcnn.device_cost import MAX_DIMENSION
from lightcnn.memory_plan import constant_bytes, flash_bytes, live_bytes
from lightcnn.program import Program, head_program, part_program, program
from lightcnn.searching.widths.meter import WidthMeter, Widths
from lightcnn.space import SearchSpace
from lightcnn.spec import Shape


class _Memory(NamedTuple):
    """What consecutive parts need: bytes of constants, bytes of tensors that are alive at the same time, at most.

    `shape` is that of their output, `widest` the largest dimension of a tensor.
    """

    shape: Shape
    constants: int = 0
    live: int = 0
    widest: int = 0

    @classmethod
    def of(cls, part: Program) -> _Memory:
        """What one part needs."""
        return cls(part.shapes[part.output], constant_bytes(part), live_bytes(part), max(map(max, part.shapes)))

    def then(self, part: _Memory) -> _Memory:
        """The same with another part after these."""
        return _Memory(
            part.shape, self.constants + part.constants, max(self.live, part.live), max(self.widest, part.widest)
        )


class DeviceWidthMeter(WidthMeter):
    """A meter that also measures flash and arena, quickly: the network that is taken must be measured exactly.

    The code in the flash is that of the widths in the beginning. The arena is what is alive at the same time; in one
    buffer, the tensors of one in fifty networks need more (`memory_plan`).
    """

    def __init__(self, space: SearchSpace, budget: Budget, shape: Mapping[str, Any]) -> None:
        super().__init__(space, budget, shape)
        self._planned: dict[Any, _Memory] = {}
        self._code = flash_bytes(program(self._network)) - self._memory({}).constants

    def _cost(self, widths: Widths) -> Cost:
        total, memory = super()._cost(widths), self._memory(widths)
        if memory.widest > MAX_DIMENSION:
            return total
        return replace(total, flash_bytes=self._code + memory.constants, arena_bytes=memory.live)

    def _memory(self, widths: Widths) -> _Memory:
        """What all parts need with those widths."""
        whole, planned = _Memory(self._network.input), self._planned
        for name, part in self._parts:
            width = widths.get(name)
            key = (name, width, whole.shape[0])  # height and width of the input are those of the shape
            if key not in planned:
                if width is not None:
                    part.unit.__dict__["width"] = width  # frozen for everyone else, as in `WidthMeter`
                planned[key] = _Memory.of(part_program(part.blocks, whole.shape))
            whole = whole.then(planned[key])
        channels = whole.shape[0]
        if channels not in planned:
            planned[channels] = _Memory.of(head_program(self._network, whole.shape))
        return whole.then(planned[channels])
