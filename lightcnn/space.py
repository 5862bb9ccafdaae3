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
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from lightcnn import document
from lightcnn.budget import Cost
from lightcnn.cost import cost, measure
from lightcnn.document import Frozen, rule_error
from lightcnn.errors import InputError
from lightcnn.spec import Activation, HeadSpec, NetworkSpec, Width
from lightcnn.stage_space import StagePart, StageSpace, draw_widths, stage_part
from lightcnn.start_shapes import check_starts, complete_shapes, with_larger_size, with_sizes

Shape = dict[str, Any]
"""Gene name → value."""


@dataclass(frozen=True)
class Gene:
    """One choice: its name and its options; `ordered` if their order has a meaning."""

    name: str
    options: tuple[Any, ...]
    ordered: bool = False


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
        starts: Genes of up to eight shapes that every search tries first, in place of `start`.

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
    starts: Annotated[
        tuple[dict[str, Any], ...],
        Field(max_length=8, description="genes of up to eight shapes that every search tries first, in place of start"),
    ] = ()

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
        for gene in self.genes():
            if len(set(gene.options)) < len(gene.options):
                raise rule_error(gene.name, f"an option occurs twice in {list(gene.options)}; remove one")
        check_starts(self.start, self.starts, self._options())
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
        smallest: enlarged images cost more and contain nothing new. Start shapes get the next smaller size.
        """
        sizes = tuple(s for s in self.size if s <= max(self.size[0], 1.25 * size))
        values = {"channels": channels, "classes": classes, "size": sizes}
        values |= {"start": with_sizes(self.start, sizes), "starts": tuple(with_sizes(s, sizes) for s in self.starts)}
        return SearchSpace(**(dict(self) | values))

    def with_input(self, size: int) -> SearchSpace:
        """This space with a single input size (pixels). Raises: InputError if its networks do not take it.

        Example:
            >>> lightcnn.SearchSpace.load("micro").with_input(32).size
            (32,)
        """
        if not self.size[0] <= size <= self.size[-1]:
            raise InputError(
                f"--input {size}: the space {self.name or 'given'} takes inputs of {self.size[0]} to {self.size[-1]} "
                "pixels; give one of these, or another --space"
            )
        values = {"size": (size,), "start": with_sizes(self.start, (size,))}
        return SearchSpace(**(dict(self) | values | {"starts": tuple(with_sizes(s, (size,)) for s in self.starts)}))

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
        return shape | draw_widths(self.stages_by_path(), shape, random)

    def first(self) -> Shape:
        """The first of the start shapes."""
        return self.start_shapes()[0]

    def start_shapes(self, pixels: int | None = None) -> tuple[Shape, ...]:
        """The shapes of `starts`, or that of `start`, each once; genes that they do not name have the middle option.

        If images have more `pixels` than a single start, the same one with a larger input is the second.
        """
        larger = {} if pixels is None or self.starts else with_larger_size(self.start, self.size, pixels)
        starts = self.starts or (self.start, *([larger] if larger else []))
        return complete_shapes(starts, self._options())

    def _options(self) -> dict[str, tuple[Any, ...]]:
        return {gene.name: gene.options for gene in self.genes()}

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
        parts = tuple(stage_part(stage, path, shape, act) for path, stage in self.stages_by_path())
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

    def smallest(
        self, by: Callable[[Cost], float] = lambda c: c.macs, measure: Callable[[NetworkSpec], Cost] = cost
    ) -> Shape:
        """The shape with the smallest `by` (default: multiply-adds), improved gene by gene until no change helps.

        `measure` computes the cost of a network.
        """
        return self._extreme(by, measure, -1)

    def largest(
        self, by: Callable[[Cost], float] = lambda c: c.macs, measure: Callable[[NetworkSpec], Cost] = cost
    ) -> Shape:
        """The shape with the largest value of `by`, found likewise."""
        return self._extreme(by, measure, 1)

    def stages_by_path(self) -> list[tuple[str, StageSpace]]:
        """The stem and the stages, each with the prefix of its genes."""
        return [("stem", self.stem), *((f"stages.{i}", stage) for i, stage in enumerate(self.stages))]

    def _extreme(self, by: Callable[[Cost], float], measure: Callable[[NetworkSpec], Cost], sign: int) -> Shape:
        genes = [Gene(g.name, (g.options[0], g.options[-1])) if g.name.endswith("width") else g for g in self.genes()]
        shape = {gene.name: gene.options[0 if sign < 0 else -1] for gene in genes}
        best = by(measure(self.spec(shape)))
        improved = True
        while improved:
            improved = False
            for gene in genes:
                for option in gene.options:
                    if option == shape[gene.name]:
                        continue
                    trial = {**shape, gene.name: option}
                    value = self._value_or_none(trial, by, measure)
                    if value is not None and sign * (value - best) > 0:
                        shape, best, improved = trial, value, True
        return shape

    def _value_or_none(
        self, shape: Mapping[str, Any], by: Callable[[Cost], float], measure: Callable[[NetworkSpec], Cost]
    ) -> float | None:
        try:
            return by(measure(self.spec(shape)))
        except ValidationError:
            return None


def _mutated(gene: Gene, value: Any, random: Random) -> Any:
    alternatives = [option for option in gene.options if option != value]
    if not gene.ordered or value not in gene.options:
        return random.choice(alternatives)
    index, distance = gene.options.index(value), max(1, len(gene.options) // 6)
    nearby = [i for i in range(index - distance, index + distance + 1) if i != index and 0 <= i < len(gene.options)]
    return gene.options[random.choice(nearby)]
