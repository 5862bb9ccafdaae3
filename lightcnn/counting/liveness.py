"""How much memory the activations of one inference need at least, from when each is written and last read.

A buffer is alive from the call that writes it to the last call that reads it; a call needs all buffers that are alive
while it runs. A norm or an activation whose input is not read again is computed in place, as if fused into the operator
before it. A buffer that is never read (the indices of a max pooling) is not stored. The image belongs to the caller and
is never overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from lightcnn.counting.recorder import Call
from lightcnn.counting.trace import Trace

IMAGE = 0


@dataclass(frozen=True)
class LiveMemory:
    """Elements and bytes that are alive while one call runs."""

    elements: int
    bytes: int


def liveness(trace: Trace) -> list[LiveMemory]:
    """What is alive during each call of the trace; 0 for views."""
    spans = _spans(trace)
    count = len(trace.calls)
    columns = []
    for size in range(2):
        changes = [0] * (count + 1)
        for buffer, (start, end) in spans.items():
            changes[max(start, 0)] += trace.buffers[buffer][size]
            changes[min(end, count - 1) + 1] -= trace.buffers[buffer][size]
        columns.append(list(accumulate(changes))[:count])
    return [
        LiveMemory(0, 0) if call.view else LiveMemory(elements, size)
        for call, elements, size in zip(trace.calls, *columns, strict=True)
    ]


def peak(lives: list[LiveMemory]) -> LiveMemory:
    """The largest number of elements, and the largest number of bytes."""
    return LiveMemory(max((live.elements for live in lives), default=0), max((live.bytes for live in lives), default=0))


def moved_bytes(trace: Trace) -> int:
    """Bytes of activations that all calls together read and write, except those computed in place."""
    _, last = _ends(trace)
    return sum(
        trace.buffers[buffer][1]
        for index, call in enumerate(trace.calls)
        if not call.view and not _in_place(trace, call, index, last)
        for buffer in (*call.reads, *(written for written in call.writes if written in last))
    )


def _ends(trace: Trace) -> tuple[dict[int, int], dict[int, int]]:
    """Buffer → the first and the last call that need it; the image is needed before, the output after all calls."""
    first, last = {IMAGE: -1}, {buffer: len(trace.calls) for buffer in trace.outputs}
    for index, call in enumerate(trace.calls):
        for buffer in call.writes:
            first.setdefault(buffer, index)
        for buffer in call.reads:
            last[buffer] = max(last.get(buffer, index), index)
    return first, last


def _spans(trace: Trace) -> dict[int, tuple[int, int]]:
    """Buffer → first and last call that need it; a buffer computed in place is merged with the one it replaces."""
    first, last = _ends(trace)
    place: dict[int, int] = {}
    for index, call in enumerate(trace.calls):
        if _in_place(trace, call, index, last):
            place[call.writes[0]] = place.get(call.reads[0], call.reads[0])
    spans: dict[int, tuple[int, int]] = {}
    for buffer, end in last.items():
        home = place.get(buffer, buffer)
        start, before = spans.get(home, (first[home], end))
        spans[home] = (start, max(before, end))
    return spans


def _in_place(trace: Trace, call: Call, index: int, last: dict[int, int]) -> bool:
    """Whether a call can overwrite its only input, which is not read again and has the size of its output."""
    stored = [buffer for buffer in call.writes if buffer in last]
    if not call.fusable or call.view or len(call.reads) != 1 or stored != list(call.writes[:1]):
        return False
    (read,), (written,) = call.reads, stored
    same = trace.buffers[read] == trace.buffers[written]
    return same and read not in (written, IMAGE) and last[read] == index
