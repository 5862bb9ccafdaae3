"""A search space as data: the networks to choose from, and how to sample and mutate them. No torch.

A *shape* is a dict from gene names (`size`, `stages.2.kernel`, ...) to values. Every shape of a space has the same
genes, so that a sampler sees one fixed space; genes without an effect (the expansion of a stage that does not expand)
are ignored and do not occur in the canonical form of the spec. The widths of a sampled shape are relative;
`searching/budgeted_space.py` solves them for a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from lightcnn import document
from lightcnn.budget import Cost
from lightcnn.cost import cost, measure
from lightcnn.document import Frozen, rule_error
from lightcnn.spec import (
    Activation,
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    Kernel,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
    Width,
)
from lightcnn.text import nearest

Shape = dict[str, Any]
"""Gene name → value."""
MAX_GROWTH = 2.5
"""The largest growth of the widths of a draw from one stage to the next; the start of `micro` grows by 2.4."""
WIDTH_JITTER = 0.15
"""Standard deviation of the logarithm by which a drawn width differs from that growth."""


@dataclass(frozen=True)
class Gene:
    """One choice: its name and its options; `ordered` if their order has a meaning."""

    name: str
    options: tuple[Any, ...]
    ordered: bool = False


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


class SearchSpace(Frozen):
    """A search space: a network with options in place of values.

    Args:
        name: A name for reports.
        channels: Channels of the input; a search takes those of its data.
        classes: Number of classes; a search takes those of its data.
        size: Options for the input height and width in pixels, ascending.
        act: Options for the activation.
        stem: Choices of the stem.
        stages: Choices of each stage, at least one stage.
        hidden: Options for the widths of the hidden layers of the head.
        dropout: Dropout rate of the head.
        start: Genes of the shape that every search tries first.

    Example:
        >>> import lightcnn
        >>> lightcnn.SearchSpace.load("micro").genes()[0].name
        'size'
    """

    name: Annotated[str, Field(max_length=100, pattern=r"^[\w .+-]*$")] = ""
    channels: Annotated[int, Field(ge=1, le=64)] = 3
    classes: Annotated[int, Field(ge=2, le=100_000)] = 10
    size: Annotated[
        tuple[Annotated[int, Field(ge=4, le=4096)], ...],
        Field(min_length=1, description="input height = width, ascending"),
    ]
    act: Annotated[tuple[Activation, ...], Field(min_length=1)] = ("silu",)
    stem: StageSpace
    stages: Annotated[tuple[StageSpace, ...], Field(min_length=1, max_length=32)]
    hidden: Annotated[
        tuple[Annotated[tuple[Width, ...], Field(max_length=8)], ...],
        Field(min_length=1, description="options for the widths of the hidden layers of the head"),
    ] = ((),)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    start: Annotated[
        dict[str, Any], Field(default_factory=dict, description="genes of the shape that every search tries first")
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.size) != sorted(set(self.size)):
            raise rule_error("size", f"must be in ascending order without repetitions, not {list(self.size)}")
        halvings = sum(any(way.endswith("pool") for way in stage.down) for stage in (self.stem, *self.stages))
        strided = sum(stage.down != ("none",) for stage in (self.stem, *self.stages))
        if halvings and self.size[0] >> strided < 1:
            raise rule_error(
                "size", f"{strided} stages may halve an input of {self.size[0]}; use {1 << strided} or more"
            )
        genes = {gene.name: gene for gene in self.genes()}
        for gene in genes.values():
            if len(set(gene.options)) < len(gene.options):
                raise rule_error(gene.name, f"an option occurs twice in {list(gene.options)}; remove one")
        for name, value in self.start.items():
            if name not in genes:
                raise rule_error(f"start.{name}", f"unknown gene{nearest(name, genes)}; genes: {', '.join(genes)}")
            if (tuple(value) if isinstance(value, list) else value) not in genes[name].options:
                raise rule_error(f"start.{name}", f"{value} is not an option of this gene")
        return self

    @classmethod
    def load(cls, name: str | Path) -> SearchSpace:
        """Reads a search space.

        Args:
            name: Path of a YAML file, or the name of a shipped space (`lightcnn list spaces`).

        Returns:
            The search space.

        Raises:
            InputError: If there is neither such a file nor such a shipped space.
            DocumentError: If the file is not a valid space; it holds every problem of the file.

        Example:
            >>> import lightcnn
            >>> lightcnn.SearchSpace.load("micro").name
            'micro'
        """
        return document.load(cls, document.find("search_spaces", str(name)))

    def for_data(self, channels: int, classes: int, size: int) -> SearchSpace:
        """This space for images with so many channels and classes.

        Input sizes that exceed the `size` of the images (pixels) by more than a quarter are left out, except the
        smallest: enlarged images cost more and contain nothing new.
        """
        sizes = tuple(s for s in self.size if s <= max(self.size[0], 1.25 * size))
        start = {name: value for name, value in self.start.items() if name != "size" or value in sizes}
        if len(sizes) == 1:
            start.pop("size", None)
        return SearchSpace(**(dict(self) | {"channels": channels, "classes": classes, "size": sizes, "start": start}))

    def genes(self) -> tuple[Gene, ...]:
        """Every choice with more than one option, always in the same order."""
        genes = [Gene("size", self.size, True), Gene("act", self.act), Gene("hidden", self.hidden)]
        for path, stage in self.stages_by_path():
            genes += [
                Gene(f"{path}.kind", stage.kind),
                Gene(f"{path}.width", stage.width.options, True),
                Gene(f"{path}.depth", stage.depth.options, True),
                Gene(f"{path}.kernel", stage.kernel),
                Gene(f"{path}.expand", stage.expand),
                Gene(f"{path}.se", stage.se),
                Gene(f"{path}.skip", stage.skip),
                Gene(f"{path}.down", stage.down),
            ]
        return tuple(gene for gene in genes if len(gene.options) > 1)

    def draw(self, random: Random) -> Shape:
        """A shape whose widths grow from stage to stage by about the same factor, and whose other genes are uniform."""
        shape = {gene.name: random.choice(gene.options) for gene in self.genes()}
        return shape | self._draw_widths(random, shape)

    def _draw_widths(self, random: Random, shape: Shape) -> Shape:
        """The width of stage i is about a·b^i: one stage keeps its width, and the growth b is drawn uniformly."""
        ranges = [(f"{path}.width", stage.width) for path, stage in self.stages_by_path()]
        pivot, growth = random.randrange(len(ranges)), random.uniform(1, MAX_GROWTH)
        width = shape.get(ranges[pivot][0], ranges[pivot][1].low)
        return {
            name: options.nearest(width * growth ** (i - pivot) * random.lognormvariate(0, WIDTH_JITTER))
            for i, (name, options) in enumerate(ranges)
            if i != pivot and name in shape
        }

    def first(self) -> Shape:
        """The shape of `start`; genes that it does not name have their middle option."""
        return {g.name: _as_option(self.start.get(g.name, g.options[len(g.options) // 2])) for g in self.genes()}

    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape:
        """A copy with one to three genes changed: ordered genes to a nearby option, the others to any other option."""
        child = dict(shape)
        genes = self.genes()
        for gene in random.sample(genes, min(random.choice((1, 1, 2, 3)), len(genes))):
            child[gene.name] = _mutated(gene, child[gene.name], random)
        return child

    def spec(self, shape: Mapping[str, Any]) -> NetworkSpec:
        """The network of a shape with its widths as they are. Raises: ValidationError if it is not a valid network."""
        return self.spec_with_parts(shape)[0]

    def spec_with_parts(self, shape: Mapping[str, Any]) -> tuple[NetworkSpec, tuple[StagePart, ...]]:
        """The network of a shape, and the blocks in it that the stem and each stage are made of."""
        size, act = shape.get("size", self.size[0]), shape.get("act", self.act[0])
        parts = tuple(_part(stage, path, shape, act) for path, stage in self.stages_by_path())
        network = NetworkSpec(
            name=self.name,
            input=(self.channels, size, size),
            stem=parts[0].blocks,
            stages=tuple(block for part in parts[1:] for block in part.blocks),
            head=HeadSpec(hidden=tuple(shape.get("hidden", self.hidden[0])), act=act, dropout=self.dropout),
            classes=self.classes,
        )
        return network, parts

    def stage_macs(self, shape: Mapping[str, Any]) -> list[int]:
        """The multiply-adds of the stem and of each stage of a shape. Raises: ValidationError, as `spec` does."""
        network, parts = self.spec_with_parts(shape)
        macs, feature_map = [], network.input
        for part in parts:
            meter = measure(part.blocks, feature_map)
            macs.append(meter.macs)
            feature_map = meter.shape
        return macs

    def smallest(self, by: Callable[[Cost], float] = lambda c: c.macs) -> Shape:
        """The shape with the smallest `by` (default: multiply-adds), improved gene by gene until no change helps."""
        return self._extreme(by, -1)

    def largest(self, by: Callable[[Cost], float] = lambda c: c.macs) -> Shape:
        """The shape with the largest value of `by`, found likewise."""
        return self._extreme(by, 1)

    def stages_by_path(self) -> list[tuple[str, StageSpace]]:
        """The stem and the stages, each with the prefix of its genes."""
        return [("stem", self.stem), *((f"stages.{i}", stage) for i, stage in enumerate(self.stages))]

    def _extreme(self, by: Callable[[Cost], float], sign: int) -> Shape:
        genes = [Gene(g.name, (g.options[0], g.options[-1])) if g.name.endswith("width") else g for g in self.genes()]
        shape = {gene.name: gene.options[0 if sign < 0 else -1] for gene in genes}
        best = by(cost(self.spec(shape)))
        improved = True
        while improved:
            improved = False
            for gene in genes:
                for option in gene.options:
                    trial = {**shape, gene.name: option}
                    value = self._value_or_none(trial, by)
                    if value is not None and sign * (value - best) > 0:
                        shape, best, improved = trial, value, True
        return shape

    def _value_or_none(self, shape: Mapping[str, Any], by: Callable[[Cost], float]) -> float | None:
        try:
            return by(cost(self.spec(shape)))
        except ValidationError:
            return None


def _part(stage: StageSpace, path: str, shape: Mapping[str, Any], act: str) -> StagePart:
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


def _mutated(gene: Gene, value: Any, random: Random) -> Any:
    alternatives = [option for option in gene.options if option != value]
    if not gene.ordered or value not in gene.options:
        return random.choice(alternatives)
    index, distance = gene.options.index(value), max(1, len(gene.options) // 6)
    nearby = [i for i in range(index - distance, index + distance + 1) if i != index and 0 <= i < len(gene.options)]
    return gene.options[random.choice(nearby)]


def _as_option(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
