"""Why other tools print other numbers than ours, operator by operator; the differences add up to the whole exactly."""

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
"""fvcore's operators in our families; the others stand for themselves."""


@dataclass(frozen=True)
class Difference:
    """What a counter adds (or leaves out) beside ours, where, and why."""

    counter: str
    where: str
    ours: int
    theirs: int
    reason: str

    @property
    def difference(self) -> int:
        """Theirs less ours."""
        return self.theirs - self.ours

    def document(self) -> dict[str, str | int]:
        """As in report.json."""
        return {"counter": self.counter, "where": self.where, "ours": self.ours, "theirs": self.theirs,
                "difference": self.difference, "reason": self.reason}  # fmt: skip


def by_fvcore(trace: Trace, told: Mapping[str, int]) -> list[Difference]:
    """The whole model's operators as fvcore counts them, beside ours."""
    theirs: Counter[str] = Counter()
    for operator, count in told.items():
        theirs[FVCORE_FAMILIES.get(operator, operator)] += count
    return _differences("fvcore", _families(trace), theirs)


def by_torch(trace: Trace, told: Mapping[str, int]) -> list[Difference]:
    """torch's counts by operator, beside ours."""
    return [
        replace(row, reason="a multiplication and an addition count as two") if row.theirs == 2 * row.ours else row
        for row in _differences("torch", trace.operators, told)
    ]


def by_thop(model: nn.Module, trace: Trace, told: Mapping[str, float]) -> list[Difference]:
    """thop's counts by module, gathered by the modules' types, beside ours."""
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for call in trace.calls:
        if call.macs:
            ours[_type(model, call.module)] += call.macs
    for name, count in told.items():
        theirs[_type(model, name)] += int(count)
    return _differences("thop", ours, theirs)


def _differences(counter: str, ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[Difference]:
    names = dict.fromkeys((*ours, *theirs))
    found = []
    for name in names:
        mine, other = ours.get(name, 0), theirs.get(name, 0)
        if mine != other:
            known = "counts otherwise" if other else "does not know it"
            reason = known if mine else "we do not count it"
            found.append(Difference(counter, name, mine, other, reason))
    return found


def _families(trace: Trace) -> Counter[str]:
    found: Counter[str] = Counter()
    for operator, macs in trace.operators.items():
        found["convolution" if operator == "convolution" else "matrix products"] += macs
    return found


def _type(model: nn.Module, name: str) -> str:
    return type(model.get_submodule(name)).__name__
