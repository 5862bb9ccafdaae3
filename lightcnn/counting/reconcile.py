"""Why other tools print other numbers, operator by operator; the differences add up to the total exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from lightcnn.counting.trace import Trace

FVCORE_FAMILIES = {
    **dict.fromkeys(("conv",), "convolution"),
    **dict.fromkeys(("linear", "addmm", "mm", "matmul", "bmm", "baddbmm", "einsum"), "matrix products"),
}
"""The family of each of fvcore's operators that we count; every other operator is compared under its own name."""


@dataclass(frozen=True)
class Difference:
    """Where a counter differs from our count, by how much, and why."""

    counter: str
    where: str
    ours: int
    theirs: int
    reason: str

    @property
    def difference(self) -> int:
        """Their count minus ours."""
        return self.theirs - self.ours

    def document(self) -> dict[str, str | int]:
        """The difference as it is in report.json."""
        return {"counter": self.counter, "where": self.where, "ours": self.ours, "theirs": self.theirs,
                "difference": self.difference, "reason": self.reason}  # fmt: skip


def by_fvcore(trace: Trace, counts: Mapping[str, int]) -> list[Difference]:
    """Differences of fvcore's counts per operator of the whole model from ours."""
    theirs: Counter[str] = Counter()
    for operator, count in counts.items():
        theirs[FVCORE_FAMILIES.get(operator, operator)] += count
    return _differences("fvcore", _families(trace), theirs)


def by_torch(trace: Trace, counts: Mapping[str, int]) -> list[Difference]:
    """Differences of torch's counts per operator from ours."""
    return [
        replace(row, reason="a multiplication and an addition count as two") if row.theirs == 2 * row.ours else row
        for row in _differences("torch", trace.operators, counts)
    ]


def by_thop(model: nn.Module, trace: Trace, counts: Mapping[str, float]) -> list[Difference]:
    """Differences of thop's counts per module from ours, summed up by the modules' types."""
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for call in trace.calls:
        if call.macs:
            ours[_type(model, call.module)] += call.macs
    for name, count in counts.items():
        theirs[_type(model, name)] += int(count)
    return _differences("thop", ours, theirs)


def _differences(counter: str, ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[Difference]:
    rows = []
    for name in dict.fromkeys((*ours, *theirs)):
        our_count, their_count = ours.get(name, 0), theirs.get(name, 0)
        if our_count != their_count:
            theirs_differs = "counts it differently" if their_count else "does not know it"
            reason = theirs_differs if our_count else "we do not count it"
            rows.append(Difference(counter, name, our_count, their_count, reason))
    return rows


def _families(trace: Trace) -> Counter[str]:
    counts: Counter[str] = Counter()
    for operator, macs in trace.operators.items():
        counts["convolution" if operator == "convolution" else "matrix products"] += macs
    return counts


def _type(model: nn.Module, name: str) -> str:
    return type(model.get_submodule(name)).__name__
