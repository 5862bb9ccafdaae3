"""A network as data: blocks, the network that they form, and the shapes between them. No torch.

A `NetworkSpec` has an input (channels, height, width), a stem, stages and a head. Stem and stages are lists of blocks
from one closed union; the key `kind` selects the class. The blocks are defined in `block_specs`, and exported here too,
so that everything about a network as data can be imported from one module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lightcnn import document
from lightcnn.block_specs import (
    BLOCKS,
    POOLED,
    Activation,
    Block,
    BlockSpec,
    ConvBlock,
    InvertedResidualBlock,
    Kernel,
    PoolBlock,
    Rate,
    ResidualBlock,
    SeparableBlock,
    Shape,
    SqueezeExciteBlock,
    Width,
    hidden_width,
)
from lightcnn.document import Frozen, rule_error

__all__ = [
    "BLOCKS",
    "POOLED",
    "Activation",
    "Block",
    "BlockSpec",
    "ConvBlock",
    "HeadSpec",
    "InvertedResidualBlock",
    "Kernel",
    "NetworkSpec",
    "PoolBlock",
    "Rate",
    "ResidualBlock",
    "SeparableBlock",
    "Shape",
    "SqueezeExciteBlock",
    "Width",
    "hidden_width",
]


MAX_UNITS = 5_000
"""Maximum number of blocks with all copies: four times those of the deepest published network of 1,202 layers."""


class HeadSpec(Frozen):
    """Global pooling, hidden dense layers with `act`, dropout, classifier.

    `output: softmax` gives one logit per class; `sigmoid`, only for two classes, gives one logit for the second class.
    """

    pool: Literal["avg", "max"] = "avg"
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = ()
    act: Activation = "silu"
    dropout: Rate = 0.0
    output: Literal["softmax", "sigmoid"] = "softmax"


class NetworkSpec(Frozen):
    """A network as data: input (channels, height, width), stem, stages, head and number of classes.

    Args:
        name: A name for tables and reports, at most 100 characters.
        input: Channels, height and width of the input, in pixels.
        stem: Blocks before the stages, at most 16.
        stages: One to 64 blocks; with all copies at most 5,000.
        head: Pooling, hidden layers, dropout and output.
        classes: Number of classes, at least 2.

    Raises:
        ValidationError: If the blocks do not fit together.

    Example:
        >>> from lightcnn.spec import ConvBlock, NetworkSpec
        >>> NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2).logits
        2
    """

    name: Annotated[str, Field(max_length=100, pattern=r"^[\w .+-]*$")] = ""
    input: Annotated[
        tuple[
            Annotated[int, Field(ge=1, le=64)],
            Annotated[int, Field(ge=1, le=4096)],
            Annotated[int, Field(ge=1, le=4096)],
        ],
        Field(description="channels, height and width in pixels"),
    ]
    stem: Annotated[tuple[BlockSpec, ...], Field(max_length=16)] = ()
    stages: Annotated[tuple[BlockSpec, ...], Field(min_length=1, max_length=64)]
    head: HeadSpec = HeadSpec()
    classes: Annotated[int, Field(ge=2, le=100_000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        units = sum(block.unit_count for _, block in self._blocks())
        if units > MAX_UNITS:
            raise rule_error("stages", f"has {units:,} blocks in all copies, at most {MAX_UNITS:,}; reduce the depths")
        for _ in self.units():
            pass
        for path, block in self._blocks():
            if isinstance(block, ResidualBlock) and block.pools_nothing:
                rule = f"{block.shortcut} has nothing to pool, because the body has stride 1; use auto or conv"
                raise rule_error(f"{path}.shortcut", rule)
        if self.head.output == "sigmoid" and self.classes != 2:
            raise rule_error("head.output", f"a sigmoid head needs two classes, not {self.classes}; use softmax")
        return self

    @property
    def logits(self) -> int:
        """Number of outputs of the network: 1 for a sigmoid head, `classes` otherwise."""
        return 1 if self.head.output == "sigmoid" else self.classes

    def _blocks(self) -> Iterator[tuple[str, BlockSpec]]:
        """Every block of stem and stages with its place."""
        for part, blocks in (("stem", self.stem), ("stages", self.stages)):
            for index, block in enumerate(blocks):
                yield f"{part}.{index}", block

    def units(self) -> Iterator[tuple[str, Block, Shape, Shape]]:
        """Every single block in order: (module name, block with depth 1, input shape, output shape).

        Raises:
            PydanticCustomError: If a block does not fit its input shape.
        """
        shape: Shape = self.input
        for path, block in self._blocks():
            for copy, unit in enumerate(block.copies()):
                before, shape = shape, unit.output_shape(shape, path)
                yield f"{path}.{copy}", unit, before, shape

    def canonical(self) -> dict[str, Any]:
        """What the network computes, as plain data; equal for specs of the same network.

        Names and the border between stem and stages are dropped, repeated blocks unrolled, defaults filled in, ratios
        replaced by numbers of channels, and settings without effect (a drop path without a skip) set to zero.
        """
        blocks = [unit.canonical(before, after) for _, unit, before, after in self.units()]
        head = self.head.model_dump()
        if not self.head.hidden:
            head["act"] = "none"
        return {"input": self.input, "blocks": blocks, "head": head, "classes": self.classes}

    def digest(self) -> str:
        """SHA-256 of the canonical form as JSON, in hexadecimal: equal for specs of the same network."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def scale(self, width: float = 1.0, depth: float = 1.0, divisor: int = 1) -> NetworkSpec:
        """The same network with widths and depths multiplied (MobileNet's α; EfficientNet's compound scaling).

        Widths are rounded to the nearest multiple of `divisor`, at least one multiple; the groups of a depthwise
        convolution follow its width.

        Raises:
            ValueError: If the scaled network is not valid.
        """
        stem, stages = (
            tuple(block.scaled(width, depth, divisor) for block in blocks) for blocks in (self.stem, self.stages)
        )
        return NetworkSpec(**(dict(self) | {"stem": stem, "stages": stages}))

    @classmethod
    def load(cls, path: str | Path) -> NetworkSpec:
        """Reads a network from a YAML file.

        Args:
            path: Path of the file.

        Returns:
            The network.

        Raises:
            DocumentError: If the file cannot be read or is not a valid spec; it holds every problem of the file.

        Example:
            >>> import lightcnn
            >>> lightcnn.Recipe.load("quick").network.save("spec.yaml")
            >>> lightcnn.NetworkSpec.load("spec.yaml").classes
            10
        """
        return document.load(cls, path)

    def save(self, path: str | Path) -> None:
        """Writes YAML from which `load` reads an equal spec."""
        document.save(self, path)
