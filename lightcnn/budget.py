"""What a network costs, and what it may cost: numbers with units.

A budget is one or more limits with their units, joined by commas:

    1MFLOPs   0.5MMACs   50kparams   256KB   64KiB-RAM   128KB-flash   5ms   0.9..1MFLOPs   "1MFLOPs,50kparams,64KB"

FLOPs and MACs are the same number: multiply-adds. KB is 1000 bytes and KiB 1024. A plain byte limit is on the int8
weights of the deployed network; `-RAM` is on the peak of its int8 activations. `-flash` and `-arena` are on the C that
`lightcnn export --to c` generates: its constants and code, and its static buffer. `5ms` is the time for one image in
PyTorch with one thread on this machine, `5ms-onnx` in ONNX Runtime. `low..high` adds a lower limit, with a unit or
a prefix of its own if it is another one: `500k..1MFLOPs`. Upper and lower case do not matter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from lightcnn.errors import BudgetError
from lightcnn.text import in_one_line


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs, in whole numbers.

    Args:
        params: Trainable parameters of the network as built.
        params_with_buffers: The same with the running statistics of the norms, as Keras prints it.
        params_deployed: Parameters with the norms folded into convolutions.
        macs: Multiply-adds of convolutions and linear layers.
        fvcore: What fvcore prints for the deployed network: multiply-adds and global average pooling. For the network
            as built it prints 2 more for each of `norm_elements`.
        thop: What thop prints for the deployed network: multiply-adds and average pooling. For the network as built it
            prints 4 more for each of `norm_elements`.
        norm_elements: Elements that norms write.
        peak_activations: Elements that are alive at the same time, at most.
        weight_bytes_fp32: Bytes of the deployed network's weights and biases, 4 each.
        weight_bytes_int8: The same with 1 byte per weight and 4 per bias.
        flash_bytes: Flash of the generated C: its constants, and an allowance for its code. None if it is not known, or
            if the C cannot hold the network; no limit admits it then. `device_cost.device_cost` computes it.
        arena_bytes: Static buffer of the generated C, which holds all tensors; None as before.
        latency_us: Microseconds for one image in PyTorch, which are exceeded by few networks; None unless a search
            limits them. `latency_model` predicts them.
        onnx_latency_us: The same in ONNX Runtime.

    Example:
        >>> import lightcnn
        >>> lightcnn.Cost(macs=1000) + lightcnn.Cost(macs=500, params=20) == lightcnn.Cost(macs=1500, params=20)
        True
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
    flash_bytes: int | None = None
    arena_bytes: int | None = None
    latency_us: int | None = None
    onnx_latency_us: int | None = None

    def __add__(self, other: Cost) -> Cost:
        """The cost of two parts that run one after the other: the sums, and the larger peak."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMMED}
        return Cost(**sums, peak_activations=max(self.peak_activations, other.peak_activations))

    def since(self, earlier: Cost, peak: int) -> Cost:
        """The cost of what was added after `earlier`, with that peak."""
        differences = {name: getattr(self, name) - getattr(earlier, name) for name in _SUMMED}
        return Cost(**differences, peak_activations=peak)

    def document(self) -> dict[str, Any]:
        """The value of `cost` in report.json."""
        return {
            "params": self.params,
            "params_with_buffers": self.params_with_buffers,
            "params_deployed": self.params_deployed,
            "macs": self.macs,
            "peak_activations": self.peak_activations,
            "weight_bytes": {"fp32": self.weight_bytes_fp32, "int8": self.weight_bytes_int8},
            "flash_bytes": self.flash_bytes,
            "arena_bytes": self.arena_bytes,
            **{name: getattr(self, name) for name in LATENCIES if getattr(self, name) is not None},
        }

    def __str__(self) -> str:
        text = (
            f"{human(self.macs)} FLOPs, {human(self.params)} params, {human(self.weight_bytes_int8)}B int8 weights, "
            f"{human(self.peak_activations)}B int8 peak activations"
        )
        more = (
            (self.flash_bytes, "B flash"), (self.arena_bytes, "B arena"),
            (self.latency_us, " us"), (self.onnx_latency_us, " us in ONNX Runtime"),
        )  # fmt: skip
        return ", ".join([text, *(f"{human(count)}{name}" for count, name in more if count is not None)])


LATENCIES = ("latency_us", "onnx_latency_us")
"""Numbers of a cost that are predicted times; they depend on the machine."""
_SUMMED = tuple(
    field.name
    for field in fields(Cost)
    if field.name not in ("peak_activations", "flash_bytes", "arena_bytes", *LATENCIES)
)
"""Numbers of a cost that are the sum over the parts of a network."""


@dataclass(frozen=True)
class Resource:
    """Something that can be limited: its name, its unit for people, and the numbers of a cost that a limit is on."""

    name: str
    label: str
    upper: tuple[str, ...]
    """Each of these must be at most the upper limit: a FLOP budget holds for every counter."""
    lower: str
    """This one must be at least the lower limit."""

    def largest_count(self, cost: Cost) -> float:
        """The largest of the numbers that the upper limit is on: an integer, or infinity if one is not known."""
        counts = [getattr(cost, name) for name in self.upper]
        return math.inf if None in counts else max(counts)

    def lower_count(self, cost: Cost) -> float:
        """The number that the lower limit is on: an integer, or infinity if it is not known, which meets any limit."""
        count: int | None = getattr(cost, self.lower)
        return math.inf if count is None else count


MACS = Resource("macs", "FLOPs", ("macs", "fvcore", "thop"), "macs")
PARAMS = Resource("params", "params", ("params",), "params")
WEIGHT_BYTES = Resource("weight_bytes", "B of int8 weights", ("weight_bytes_int8",), "weight_bytes_int8")
PEAK_BYTES = Resource("peak_bytes", "B of int8 activations", ("peak_activations",), "peak_activations")
FLASH_BYTES = Resource("flash_bytes", "B of flash", ("flash_bytes",), "flash_bytes")
ARENA_BYTES = Resource("arena_bytes", "B of arena", ("arena_bytes",), "arena_bytes")
LATENCY = Resource("latency_us", "us for one image", ("latency_us",), "latency_us")
ONNX_LATENCY = Resource("onnx_latency_us", "us for one image in ONNX Runtime", ("onnx_latency_us",), "onnx_latency_us")
DEVICE_RESOURCES = (FLASH_BYTES, ARENA_BYTES)
"""Resources of the generated C, which `device_cost.device_cost` measures."""
LATENCY_RESOURCES = (LATENCY, ONNX_LATENCY)
"""Times, which `latency_model.LatencyModel` predicts."""
RESOURCES = {
    resource.name: resource
    for resource in (MACS, PARAMS, WEIGHT_BYTES, PEAK_BYTES, *DEVICE_RESOURCES, *LATENCY_RESOURCES)
}

MAX_CHARACTERS = 1_000
"""Length of the longest budget: the time that a regular expression takes may grow with its square."""
UNITS = (
    "FLOPs or MACs (kFLOPs, MFLOPs, GFLOPs), params (kparams, Mparams), KB, MB, KiB, MiB, and KB-RAM, KiB-RAM, "
    "KB-flash, KiB-flash, KB-arena, KiB-arena, ms, us, ms-onnx, us-onnx"
)
_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BYTE_RESOURCES = {"": WEIGHT_BYTES, "-ram": PEAK_BYTES, "-flash": FLASH_BYTES, "-arena": ARENA_BYTES}
"""The resource that a limit in bytes is on, by the end of its unit."""
_TIMES = {"us": 1, "ms": 10**3, "s": 10**6}
_TIME_RESOURCES = {"": LATENCY, "-onnx": ONNX_LATENCY}
"""The resource that a limit in seconds is on, by the end of its unit."""
_PRINTED_UNITS = {resource: "B" + ending.replace("ram", "RAM") for ending, resource in _BYTE_RESOURCES.items()} | {
    resource: ending for ending, resource in _TIME_RESOURCES.items()
}
_COUNT_PREFIXES = (("G", 10**9), ("M", 10**6), ("k", 10**3), ("", 1))
_TIME_PREFIXES = (("ms", 10**3), ("us", 1))
_NUMBER = r"[+-]?(?:\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(?:e[+-]?\d{1,3})?"
_UNIT = r"[a-z/-]*"
_TERM = re.compile(
    rf"(?:(?P<low>{_NUMBER})\s*(?P<low_unit>{_UNIT})\s*\.\.\s*)?(?P<high>{_NUMBER})\s*(?P<unit>{_UNIT})", re.ASCII
)
_ONE_SIDED = re.compile(rf"{_NUMBER}\s*{_UNIT}\s*\.\.\s*{_UNIT}|{_UNIT}\s*\.\.\s*{_NUMBER}\s*{_UNIT}", re.ASCII)


@dataclass(frozen=True)
class Limit:
    """An upper limit on one resource, and a lower limit or None."""

    resource: Resource
    upper: int
    lower: int | None = None

    def __str__(self) -> str:
        """Text from which `Budget.parse` reads the same limit."""
        unit = _PRINTED_UNITS.get(self.resource, self.resource.label)
        prefixes = _TIME_PREFIXES if self.resource in LATENCY_RESOURCES else _COUNT_PREFIXES
        prefix, size = next((prefix, size) for prefix, size in prefixes if self.upper >= size)
        numbers = [f"{Decimal(bound) / size:f}" for bound in (self.lower, self.upper) if bound is not None]
        return "..".join(n.rstrip("0").rstrip(".") if "." in n else n for n in numbers) + prefix + unit

    def excess(self, cost: Cost) -> float:
        """By how much a cost exceeds this limit, relative to it; at most 0 if the limit holds."""
        over = (self.resource.largest_count(cost) - self.upper) / self.upper
        if self.lower is None or over == math.inf:
            return over
        return max(over, (self.lower - self.resource.lower_count(cost)) / self.lower)


@dataclass(frozen=True)
class Budget:
    """One or more limits, which all hold. `Budget.parse` reads one from text.

    Example:
        >>> import lightcnn
        >>> str(lightcnn.Budget.parse("0.5..1MMACs, 64KiB"))
        '0.5..1MFLOPs,65.536kB'
    """

    limits: tuple[Limit, ...]

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads a budget.

        Args:
            text: Limits joined by commas, each a number and a unit, such as `1MFLOPs,50kparams` or `0.9..1MFLOPs`.

        Returns:
            The budget, with one limit per resource.

        Raises:
            BudgetError: If the text is not a budget; the message lists the units.

        Example:
            >>> import lightcnn
            >>> lightcnn.Budget.parse("1MFLOPs").document()
            {'macs': {'lower': None, 'upper': 1000000}}
        """
        if not isinstance(text, str):
            raise BudgetError(f"budget: {in_one_line(text)} is not a text; write limits as in 1MFLOPs,50kparams")
        if len(text) > MAX_CHARACTERS:
            raise BudgetError(f"budget: longer than {MAX_CHARACTERS} characters; write limits as in 1MFLOPs,50kparams")
        limits: dict[str, Limit] = {}
        for term in text.split(","):
            limit = _parse_limit(term.strip(), text)
            name = limit.resource.name
            limits[name] = _intersection(limits[name], limit) if name in limits else limit
        return cls(tuple(limits[name] for name in RESOURCES if name in limits))

    def excess(self, cost: Cost) -> dict[str, float]:
        """For each resource, by how much its limit is exceeded (`macs / limit - 1`); at most 0 if the limit holds."""
        return {limit.resource.name: limit.excess(cost) for limit in self.limits}

    def admits(self, cost: Cost) -> bool:
        """Whether every limit holds for the cost."""
        return all(limit.excess(cost) <= 0 for limit in self.limits)

    def used_share(self, cost: Cost) -> float:
        """The used share of the tightest limit: above 1 if an upper limit is exceeded."""
        return max(limit.resource.largest_count(cost) / limit.upper for limit in self.limits)

    @property
    def limits_device(self) -> bool:
        """Whether a limit is on the generated C, so that costs must have its numbers."""
        return any(limit.resource in DEVICE_RESOURCES for limit in self.limits)

    @property
    def latencies(self) -> tuple[Resource, ...]:
        """The times that are limited, which depend on the machine."""
        return tuple(limit.resource for limit in self.limits if limit.resource in LATENCY_RESOURCES)

    @property
    def without_latencies(self) -> Budget | None:
        """The limits that depend on the spec alone; None if there are none."""
        limits = tuple(limit for limit in self.limits if limit.resource not in LATENCY_RESOURCES)
        return Budget(limits) if limits else None

    def document(self) -> dict[str, Any]:
        """The value of `budget` in report.json, in base units: counts, bytes and microseconds."""
        return {limit.resource.name: {"lower": limit.lower, "upper": limit.upper} for limit in self.limits}

    def __str__(self) -> str:
        return ",".join(str(limit) for limit in self.limits)


def human(count: float) -> str:
    """A count with a prefix and at most four digits: 1M, 63.58k."""
    for prefix, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if abs(count) >= size:
            return f"{count / size:.4g}{prefix}"
    return f"{count:.4g}"


def _parse_limit(term: str, text: str) -> Limit:
    if _ONE_SIDED.fullmatch(term.lower()):
        raise BudgetError(f"budget {text!r}: {term!r} has only one limit; write low..high, as in 0.9..1MFLOPs")
    match = _TERM.fullmatch(term.lower())
    if not match:
        raise BudgetError(f"budget {text!r}: cannot read {term!r}; write a number and a unit: {UNITS}")
    low, high, unit = match["low"], match["high"], match["unit"] or match["low_unit"]
    resource, scale = _parse_unit(unit, term, text)
    low_scale = scale
    low_unit = match["low_unit"] if low else ""
    if low_unit and low_unit in _PREFIX and resource in (MACS, PARAMS):
        low_scale = _PREFIX[low_unit]
    elif low_unit:
        low_resource, low_scale = _parse_unit(low_unit, term, text)
        if low_resource is not resource:
            raise BudgetError(f"budget {text!r}: the limits of {term!r} have different units; use one unit")
    upper = _round_inwards(high, scale, term, text, up=False)
    lower = _round_inwards(low, low_scale, term, text, up=True) if low else None
    return _require_order(Limit(resource, upper, lower), term)


def _parse_unit(unit: str, term: str, text: str) -> tuple[Resource, int]:
    """The resource that a unit measures and its size in base units."""
    if not unit or unit in _PREFIX:
        raise BudgetError(f"budget {text!r}: {term!r} has no unit; the units are: {UNITS}")
    for names, resource in ((("flops", "flop", "macs", "mac"), MACS), (("params", "param", "parameters"), PARAMS)):
        for name in names:
            if unit.endswith(name) and unit.removesuffix(name) in _PREFIX:
                return resource, _PREFIX[unit.removesuffix(name)]
    for ending, resource in _BYTE_RESOURCES.items():
        if unit.endswith(ending) and unit.removesuffix(ending) in _BYTES:
            return resource, _BYTES[unit.removesuffix(ending)]
    for ending, resource in _TIME_RESOURCES.items():
        if unit.endswith(ending) and unit.removesuffix(ending) in _TIMES:
            return resource, _TIMES[unit.removesuffix(ending)]
    raise BudgetError(f"budget {text!r}: unknown unit in {term!r}; the units are: {UNITS}")


def _round_inwards(number: str, scale: int, term: str, text: str, up: bool) -> int:
    """The number in base units, exactly: an upper limit is rounded down, a lower limit up."""
    value = Fraction(number) * scale if len(number) <= 40 else None
    if value is None or not 1 <= value <= 10**18:
        raise BudgetError(f"budget {text!r}: {term!r} must be at least 1 and at most 10^18 of its base unit")
    return math.ceil(value) if up else math.floor(value)


def _intersection(first: Limit, second: Limit) -> Limit:
    lowers = [limit.lower for limit in (first, second) if limit.lower is not None]
    limit = Limit(first.resource, min(first.upper, second.upper), max(lowers) if lowers else None)
    return _require_order(limit, f"{first},{second}")


def _require_order(limit: Limit, term: str) -> Limit:
    if limit.lower is not None and limit.lower > limit.upper:
        raise BudgetError(
            f"budget {term!r}: the lower limit {limit.lower} is above the upper limit {limit.upper}; swap them"
        )
    return limit
