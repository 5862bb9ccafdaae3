"""One stage of a search space: the choices that it leaves, and the blocks that a choice of them makes. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lightcnn.document import Frozen, rule_error
from lightcnn.spec import (
    ConvBlock,
    InvertedResidualBlock,
    Kernel,
    PoolBlock,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
)

MAX_GROWTH = 2.5
"""The largest growth of the widths of a draw from one stage to the next; the start of `micro` grows by 2.4."""
WIDTH_JITTER = 0.15
"""Standard deviation of the logarithm by which a drawn width differs from that growth."""


@dataclass(frozen=True)
class StagePart:
    """The blocks of the stem or of one stage; `unit` is the one among them, or in a residual, that has the width."""

    path: str
    blocks: tuple[Any, ...]
    unit: Any


class Range(Frozen):
    """Integers from `low` to `high`, both included, in steps of `step`."""

    low: Annotated[int, Field(ge=1)]
    high: Annotated[int, Field(ge=1, le=16384)]
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high < self.low or (self.high - self.low) % self.step:
            raise rule_error(
                "", f"steps of {self.step} do not lead from {self.low} to {self.high}; change high or step"
            )
        return self

    @property
    def options(self) -> tuple[int, ...]:
        """All values in ascending order."""
        return tuple(range(self.low, self.high + 1, self.step))

    def nearest(self, value: float) -> int:
        """The nearest value of the range."""
        steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
        return self.low + steps * self.step


class StageSpace(Frozen):
    """The choices of one stage; a list with a single option leaves no choice."""

    kind: Annotated[tuple[Literal["conv", "separable", "mbconv"], ...], Field(min_length=1)]
    width: Range
    depth: Range = Range(low=1, high=1)
    kernel: Annotated[tuple[Kernel, ...], Field(min_length=1)] = (3,)
    expand: Annotated[
        tuple[Annotated[float, Field(ge=1, le=16)], ...],
        Field(description="expansion ratios of mbconv, at least one; only with the kind mbconv"),
    ] = ()
    se: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...],
        Field(min_length=1, description="ratios of squeeze-and-excitation; 0: none"),
    ] = (0.0,)
    skip: Annotated[
        tuple[Literal["none", "unit", "stage"], ...],
        Field(
            min_length=1,
            description="skips of conv and separable: no residual, one around each unit, or one around the stage",
        ),
    ] = ("none",)
    down: Annotated[
        tuple[Literal["none", "stride", "maxpool", "avgpool"], ...],
        Field(min_length=1, description="how the first block of the stage halves height and width"),
    ] = ("none",)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if ("mbconv" in self.kind) != bool(self.expand):
            raise rule_error("expand", "expand needs the kind mbconv, and mbconv needs expand; use both or neither")
        if self.skip != ("none",) and self.kind == ("mbconv",):
            raise rule_error("skip", "mbconv has a skip of its own; leave this key out")
        if self.depth.high > 64:
            raise rule_error("depth", f"must be at most 64, not {self.depth.high}")
        return self


def stage_part(stage: StageSpace, path: str, shape: Mapping[str, Any], act: str) -> StagePart:
    """The blocks of one stage of a shape."""

    def gene(name: str, default: Any) -> Any:
        return shape.get(f"{path}.{name}", default)

    kind, width, depth = gene("kind", stage.kind[0]), gene("width", stage.width.low), gene("depth", stage.depth.low)
    kernel, ratio = gene("kernel", stage.kernel[0]), gene("se", stage.se[0])
    skip, down = gene("skip", stage.skip[0]), gene("down", stage.down[0])
    common = {"width": width, "kernel": kernel, "stride": 2 if down == "stride" else 1, "act": act}
    before = (PoolBlock(op=down.removesuffix("pool")),) if down.endswith("pool") else ()
    if kind == "mbconv":
        expand = float(gene("expand", stage.expand[0]))
        unit: Any = InvertedResidualBlock(**common, depth=depth, expand=expand, se=float(ratio) or None)
        return StagePart(path, (*before, unit), unit)
    after = (SqueezeExciteBlock(ratio=float(ratio)),) if ratio else ()
    unit = (ConvBlock if kind == "conv" else SeparableBlock)(**common, depth=1 if skip == "unit" else depth)
    main = unit if skip == "none" else ResidualBlock(body=(unit,), depth=depth if skip == "unit" else 1)
    return StagePart(path, (*before, main, *after), unit)


def draw_widths(stages: Sequence[tuple[str, StageSpace]], shape: Mapping[str, Any], random: Random) -> dict[str, int]:
    """The width of stage i is about a·b^i: one stage keeps its width, and the growth b is drawn uniformly."""
    ranges = [(f"{path}.width", stage.width) for path, stage in stages]
    pivot, growth = random.randrange(len(ranges)), random.uniform(1, MAX_GROWTH)
    width = shape.get(ranges[pivot][0], ranges[pivot][1].low)
    return {
        name: options.nearest(width * growth ** (i - pivot) * random.lognormvariate(0, WIDTH_JITTER))
        for i, (name, options) in enumerate(ranges)
        if i != pivot and name in shape
    }
