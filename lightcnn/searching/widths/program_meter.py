"""Measures what follows from the program of a shape with other widths, part by part: flash, arena and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lightcnn.budget import Budget, Cost
from lightcnn.device_cost import MAX_DIMENSION
from lightcnn.latency_model import LatencyModel, latency_features, with_latencies
from lightcnn.memory_plan import constant_bytes, flash_bytes, live_bytes
from lightcnn.program import Program, head_program, part_program, program
from lightcnn.searching.widths.meter import WidthMeter, Widths
from lightcnn.space import SearchSpace
from lightcnn.spec import Shape


class _Needs(NamedTuple):
    """What consecutive parts need: bytes of constants, bytes of tensors that are alive at the same time, at most.

    `shape` is that of their output, `widest` the largest dimension of a tensor, `times` the bounds of microseconds.
    """

    shape: Shape
    constants: int = 0
    live: int = 0
    widest: int = 0
    times: tuple[float, ...] = ()

    def then(self, part: _Needs) -> _Needs:
        """The same with another part after these."""
        times = tuple(before + added for before, added in zip(self.times, part.times, strict=True))
        return _Needs(
            part.shape, self.constants + part.constants, max(self.live, part.live), max(self.widest, part.widest), times
        )


class ProgramWidthMeter(WidthMeter):
    """A meter that also measures flash, arena and latency, quickly: the network that is taken must be measured exactly.

    The code in the flash is that of the widths in the beginning. The arena is what is alive at the same time; in one
    buffer, the tensors of one in fifty networks need more (`memory_plan`).
    """

    def __init__(
        self, space: SearchSpace, budget: Budget, shape: Mapping[str, Any], latencies: Sequence[LatencyModel] = ()
    ) -> None:
        super().__init__(space, budget, shape)
        self._latencies = latencies
        self._planned: dict[Any, _Needs] = {}
        self._code = 0
        if budget.limits_device:
            self._code = flash_bytes(program(self._network)) - self._needs({}).constants

    def _cost(self, widths: Widths) -> Cost:
        total, needs = super()._cost(widths), self._needs(widths)
        bounds = zip((model.resource for model in self._latencies), needs.times, strict=True)
        total = with_latencies(total, dict(bounds))
        if not self._budget.limits_device or needs.widest > MAX_DIMENSION:
            return total
        return replace(total, flash_bytes=self._code + needs.constants, arena_bytes=needs.live)

    def _needs(self, widths: Widths) -> _Needs:
        """What all parts need with those widths."""
        whole, planned = _Needs(self._network.input, times=(0.0,) * len(self._latencies)), self._planned
        for name, part in self._parts:
            width = widths.get(name)
            key = (name, width, whole.shape[0])  # height and width of the input are those of the shape
            if key not in planned:
                if width is not None:
                    part.unit.__dict__["width"] = width  # frozen for everyone else, as in `WidthMeter`
                planned[key] = self._part(part_program(part.blocks, whole.shape))
            whole = whole.then(planned[key])
        channels = whole.shape[0]
        if channels not in planned:
            planned[channels] = self._part(head_program(self._network, whole.shape))
        return whole.then(planned[channels])

    def _part(self, part: Program) -> _Needs:
        """What one part needs."""
        needs = _Needs(part.shapes[part.output])
        if self._latencies:
            features = latency_features(part)
            needs = needs._replace(times=tuple(model.bound(features) for model in self._latencies))
        if not self._budget.limits_device:
            return needs
        widest = max(map(max, part.shapes))
        return needs._replace(constants=constant_bytes(part), live=live_bytes(part), widest=widest)
