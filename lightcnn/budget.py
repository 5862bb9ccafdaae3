"""What a network costs and what it may cost: numbers with units.

A budget is any conjunction of limits, joined by commas, each with its unit:

    1MFLOPs   0.5MMACs   50kparams   256KB   64KiB-RAM   0.9..1MFLOPs   "1MFLOPs,50kparams,64KB"

FLOPs and MACs are the same number, multiply-adds. KB is 1000 bytes and KiB 1024. A bare byte limit is on the int8
weights of the deployed network; `-RAM` is on the int8 activations at their peak. `low..high` adds a lower edge. Upper
and lower case do not matter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from lightcnn.errors import BudgetError


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs, in whole numbers.

    `params` are the trainable ones as built; `params_with_buffers` adds the statistics of the norms, as Keras prints;
    `params_deployed` is with norms folded. `macs` are multiply-adds of convolutions and linear layers; `fvcore` and
    `thop` what these counters print for the deployed network, which adds pooling. As built they add 2 and 4 more for
    each of `norm_elements`. `peak_activations` is in elements, weight bytes are the deployed network's.
    """

    params: int = 0
    params_with_buffers: int = 0
    params_deployed: int = 0
    macs: int = 0
    fvcore: int = 0
    thop: int = 0
    norm_elements: int = 0
    peak_activations: int = 0
    weight_bytes_fp32: int = 0
    weight_bytes_int8: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Both one after the other: everything adds up but the peak, which is the larger one."""
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Cost(**sums | {"peak_activations": max(self.peak_activations, other.peak_activations)})

    def since(self, earlier: Cost, peak: int) -> Cost:
        """What was added after `earlier`, with the given peak of its own."""
        differences = {f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)}
        return Cost(**differences | {"peak_activations": peak})

    def document(self) -> dict[str, Any]:
        """The `cost` of report.json."""
        return {
            "params": self.params,
            "params_with_buffers": self.params_with_buffers,
            "params_deployed": self.params_deployed,
            "macs": self.macs,
            "peak_activations": self.peak_activations,
            "weight_bytes": {"fp32": self.weight_bytes_fp32, "int8": self.weight_bytes_int8},
        }

    def __str__(self) -> str:
        return (
            f"{human(self.macs)} FLOPs, {human(self.params)} params, {human(self.weight_bytes_int8)}B int8 weights, "
            f"{human(self.peak_activations)}B int8 peak activations"
        )


@dataclass(frozen=True)
class Resource:
    """Something that can be limited: its name, how people read it, and which numbers of a cost must obey."""

    name: str
    label: str
    upper: tuple[str, ...]
    """Every one of these must be at most the limit: a FLOP budget is met by every counter."""
    lower: str
    """This one must be at least the lower edge."""

    def largest_count(self, cost: Cost) -> int:
        """The largest number that the upper limit is held against."""
        return max(int(getattr(cost, name)) for name in self.upper)


MACS = Resource("macs", "FLOPs", ("macs", "fvcore", "thop"), "macs")
PARAMS = Resource("params", "params", ("params",), "params")
WEIGHT_BYTES = Resource("weight_bytes", "B of int8 weights", ("weight_bytes_int8",), "weight_bytes_int8")
PEAK_BYTES = Resource("peak_bytes", "B of int8 activations", ("peak_activations",), "peak_activations")
RESOURCES = {resource.name: resource for resource in (MACS, PARAMS, WEIGHT_BYTES, PEAK_BYTES)}

UNITS = "FLOPs or MACs (kFLOPs, MFLOPs, GFLOPs), params (kparams, Mparams), KB, MB, KiB, MiB, and KB-RAM, KiB-RAM"
_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_NUMBER = r"[+-]?(?:\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(?:e[+-]?\d{1,3})?"
_UNIT = r"[a-z/-]*"
_TERM = re.compile(
    rf"(?:(?P<low>{_NUMBER})\s*(?P<low_unit>{_UNIT})\s*\.\.\s*)?(?P<high>{_NUMBER})\s*(?P<unit>{_UNIT})", re.ASCII
)
_ONE_EDGE = re.compile(rf"{_NUMBER}\s*{_UNIT}\s*\.\.\s*{_UNIT}|{_UNIT}\s*\.\.\s*{_NUMBER}\s*{_UNIT}", re.ASCII)


@dataclass(frozen=True)
class Limit:
    """One resource between a lower edge (or none) and an upper limit."""

    resource: Resource
    upper: int
    lower: int | None = None

    def __str__(self) -> str:
        """Text that `Budget.parse` reads back to the same limit."""
        unit = {"weight_bytes": "B", "peak_bytes": "B-RAM"}.get(self.resource.name, self.resource.label)
        prefix, size = next((p, s) for p, s in (("G", 10**9), ("M", 10**6), ("k", 10**3), ("", 1)) if self.upper >= s)
        numbers = [f"{Decimal(edge) / size:f}" for edge in (self.lower, self.upper) if edge is not None]
        return "..".join(n.rstrip("0").rstrip(".") if "." in n else n for n in numbers) + prefix + unit

    def excess(self, cost: Cost) -> float:
        """How far a cost breaks this limit, relative to it; at most 0 where it holds."""
        over = (self.resource.largest_count(cost) - self.upper) / self.upper
        if self.lower is None:
            return over
        return max(over, (self.lower - int(getattr(cost, self.resource.lower))) / self.lower)


@dataclass(frozen=True)
class Budget:
    """A conjunction of limits."""

    limits: tuple[Limit, ...]

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads a budget such as `1MFLOPs,50kparams`. Raises: BudgetError with the units there are."""
        found: dict[str, Limit] = {}
        for term in text.split(","):
            limit = _limit(term.strip(), text)
            found[limit.resource.name] = (
                _both(found[limit.resource.name], limit) if limit.resource.name in found else limit
            )
        return cls(tuple(found[name] for name in RESOURCES if name in found))

    def excess(self, cost: Cost) -> dict[str, float]:
        """Per limit, how far it is broken relative to itself: `macs / limit - 1`, at most 0 where it holds."""
        return {limit.resource.name: limit.excess(cost) for limit in self.limits}

    def admits(self, cost: Cost) -> bool:
        """Whether the cost obeys every limit."""
        return all(limit.excess(cost) <= 0 for limit in self.limits)

    def used_share(self, cost: Cost) -> float:
        """The used share of the tightest limit: over 1 where an upper limit is broken."""
        return max(limit.resource.largest_count(cost) / limit.upper for limit in self.limits)

    def document(self) -> dict[str, Any]:
        """The `budget` of report.json, in base units: counts and bytes."""
        return {limit.resource.name: {"lower": limit.lower, "upper": limit.upper} for limit in self.limits}

    def __str__(self) -> str:
        return ",".join(str(limit) for limit in self.limits)


def human(count: float) -> str:
    """A count with its prefix, exact where three digits suffice and to four digits elsewhere: 1M, 63.58k."""
    for prefix, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if abs(count) >= size:
            return f"{count / size:.4g}{prefix}"
    return f"{count:.4g}"


def _limit(term: str, text: str) -> Limit:
    if _ONE_EDGE.fullmatch(term.lower()):
        raise BudgetError(f"budget {text!r}: {term!r} has one edge; write low..high, as in 0.9..1MFLOPs")
    match = _TERM.fullmatch(term.lower())
    if not match:
        raise BudgetError(f"budget {text!r}: cannot read {term!r}; write a number and a unit: {UNITS}")
    low, high, unit = match["low"], match["high"], match["unit"] or match["low_unit"]
    resource, scale = _unit(unit, term, text)
    low_scale = scale
    if low and match["low_unit"]:
        low_resource, low_scale = _unit(match["low_unit"], term, text)
        if low_resource is not resource:
            raise BudgetError(f"budget {text!r}: the edges of {term!r} have different units; give both the same")
    upper = _whole(high, scale, term, text, up=False)
    lower = _whole(low, low_scale, term, text, up=True) if low else None
    return _ordered(Limit(resource, upper, lower), term)


def _unit(unit: str, term: str, text: str) -> tuple[Resource, int]:
    """The resource that a unit measures and its size in base units."""
    if not unit or unit in _PREFIX:
        raise BudgetError(f"budget {text!r}: {term!r} has no unit; say of what: {UNITS}")
    for names, resource in ((("flops", "flop", "macs", "mac"), MACS), (("params", "param", "parameters"), PARAMS)):
        for name in names:
            if unit.endswith(name) and unit.removesuffix(name) in _PREFIX:
                return resource, _PREFIX[unit.removesuffix(name)]
    if unit.removesuffix("-ram") in _BYTES:
        return (PEAK_BYTES if unit.endswith("-ram") else WEIGHT_BYTES), _BYTES[unit.removesuffix("-ram")]
    if unit in ("ms", "s", "us"):
        raise BudgetError(
            f"budget {text!r}: {term!r} is a latency; measured latency is no budget yet; limit FLOPs instead"
        )
    raise BudgetError(f"budget {text!r}: unknown unit in {term!r}; there are: {UNITS}")


def _whole(number: str, scale: int, term: str, text: str, up: bool) -> int:
    """The number in base units, exactly: an upper limit rounds down, a lower edge up."""
    value = Fraction(number) * scale if len(number) <= 40 else None
    if value is None or not 1 <= value <= 10**18:
        raise BudgetError(f"budget {text!r}: {term!r} must be at least 1 and at most 10^18 of its base unit")
    return math.ceil(value) if up else math.floor(value)


def _both(one: Limit, other: Limit) -> Limit:
    lowers = [limit.lower for limit in (one, other) if limit.lower is not None]
    both = Limit(one.resource, min(one.upper, other.upper), max(lowers) if lowers else None)
    return _ordered(both, f"{one},{other}")


def _ordered(limit: Limit, term: str) -> Limit:
    if limit.lower is not None and limit.lower > limit.upper:
        raise BudgetError(
            f"budget {term!r}: the lower edge {limit.lower} is above the upper limit {limit.upper}; swap them"
        )
    return limit
