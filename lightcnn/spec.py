"""A network as data: blocks, the network they form, and the shapes that flow through it. No torch.

A `NetworkSpec` is an input (channels, height, width), a stem, stages, and a head. Stem and stages are lists of
blocks from one closed union, told apart by `kind`. A block with `depth: n` stands for n copies: the first has the
block's stride, the others stride 1. Convolutions pad by `kernel // 2`, so stride 1 keeps height and width and
stride 2 halves them, rounding up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from lightcnn import document
from lightcnn.document import Frozen

Shape = tuple[int, int, int]
"""Channels, height, width of one image or feature map."""


def _swish_is_silu(value: Any) -> Any:
    return "silu" if value == "swish" else value


Activation = Annotated[
    Literal["silu", "relu", "relu6", "hardswish", "gelu", "none"],
    BeforeValidator(
        _swish_is_silu, json_schema_input_type=Literal["silu", "swish", "relu", "relu6", "hardswish", "gelu", "none"]
    ),
]


def _whole(value: Any) -> Any:
    """A literal 1 would also take 1.0 and true."""
    if type(value) is not int:
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


Kernel = Annotated[Literal[1, 3, 5, 7], BeforeValidator(_whole)]
Stride = Annotated[Literal[1, 2], BeforeValidator(_whole)]
Width = Annotated[int, Field(ge=1, le=16384, description="output channels")]
Depth = Annotated[int, Field(ge=1, le=64, description="copies of the block; only the first has its stride")]
Ratio = Annotated[float, Field(gt=0, le=1, description="hidden channels over gated channels")]
Rate = Annotated[float, Field(ge=0, lt=1)]


class ConvBlock(Frozen):
    """Convolution, BatchNorm, activation. `groups` must divide the channels on both sides."""

    kind: Literal["conv"] = "conv"
    width: Width
    kernel: Kernel = 3
    stride: Stride = 1
    groups: Annotated[int, Field(ge=1)] = 1
    norm: bool = True
    bias: Annotated[bool | None, Field(description="default: only without a norm")] = None
    act: Activation = "silu"
    depth: Depth = 1


class SeparableBlock(Frozen):
    """Depthwise k×k then pointwise 1×1 (MobileNetV1, arXiv:1704.04861; without inner norm and activation: Keras)."""

    kind: Literal["separable"] = "separable"
    width: Width
    kernel: Kernel = 3
    stride: Stride = 1
    norm: bool = True
    bias: Annotated[bool | None, Field(description="of the pointwise convolution; default: only without a norm")] = None
    act: Activation = "silu"
    inner: Annotated[bool, Field(description="norm and activation between depthwise and pointwise")] = True
    depth: Depth = 1


class InvertedResidualBlock(Frozen):
    """Expand 1×1, depthwise k×k, project 1×1, with a skip where the shape stays (MobileNetV2, arXiv:1801.04381)."""

    kind: Literal["mbconv"] = "mbconv"
    width: Width
    kernel: Kernel = 3
    stride: Stride = 1
    expand: Annotated[
        float, Field(ge=1, le=16, description="hidden over input channels; 1 leaves the expansion out")
    ] = 6.0
    se: Annotated[Ratio | None, Field(description="squeeze-and-excitation on the hidden channels")] = None
    act: Activation = "silu"
    drop_path: Rate = 0.0
    depth: Depth = 1


class SqueezeExciteBlock(Frozen):
    """Squeeze-and-excitation as a step of its own (arXiv:1709.01507): pool, reduce, ReLU, expand, sigmoid, scale."""

    kind: Literal["se"] = "se"
    ratio: Ratio = 0.25


class PoolBlock(Frozen):
    """Max or average pooling; kernel 2 without padding, kernel 3 padded by 1."""

    kind: Literal["pool"] = "pool"
    op: Literal["max", "avg"] = "max"
    kernel: Annotated[Literal[2, 3], BeforeValidator(_whole)] = 2
    stride: Stride = 2


POOLED = ("avgpool", "maxpool")
BodyBlock = Annotated[
    ConvBlock | SeparableBlock | InvertedResidualBlock | SqueezeExciteBlock | PoolBlock, Field(discriminator="kind")
]


class ResidualBlock(Frozen):
    """The sum of a body and a shortcut, then an activation (ResNet, arXiv:1512.03385).

    `shortcut`: `identity`; `conv`, a 1×1 convolution with the body's stride; `avgpool` or `maxpool`, pooling by the
    body's stride and then a 1×1 convolution (ResNet-D, arXiv:1812.01187); `auto`, identity where the shape stays and
    `conv` where it changes. `norm` and `bias` are those of the 1×1 convolution.
    """

    kind: Literal["residual"] = "residual"
    body: Annotated[tuple[BodyBlock, ...], Field(min_length=1, max_length=16)]
    shortcut: Literal["auto", "identity", "conv", "avgpool", "maxpool"] = "auto"
    norm: bool = True
    bias: bool | None = None
    act: Activation = "none"
    drop_path: Rate = 0.0
    depth: Depth = 1


BlockSpec = Annotated[
    ConvBlock | SeparableBlock | InvertedResidualBlock | SqueezeExciteBlock | PoolBlock | ResidualBlock,
    Field(discriminator="kind"),
]
BLOCKS: dict[str, type[Frozen]] = {
    get_args(c.model_fields["kind"].annotation)[0]: c
    for c in (ConvBlock, SeparableBlock, InvertedResidualBlock, SqueezeExciteBlock, PoolBlock, ResidualBlock)
}


class HeadSpec(Frozen):
    """Global pooling, hidden dense layers with `act`, dropout, classifier.

    `output: softmax` gives one logit a class; `sigmoid`, for two classes only, gives one logit: that of the second.
    """

    pool: Literal["avg", "max"] = "avg"
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = ()
    act: Activation = "silu"
    dropout: Rate = 0.0
    output: Literal["softmax", "sigmoid"] = "softmax"


class NetworkSpec(Frozen):
    """A whole network: input (channels, height, width), stem, stages, head, classes."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[\w .+-]*$")] = ""
    input: tuple[
        Annotated[int, Field(ge=1, le=64)], Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]
    ]
    stem: Annotated[tuple[BlockSpec, ...], Field(max_length=16)] = ()
    stages: Annotated[tuple[BlockSpec, ...], Field(min_length=1, max_length=64)]
    head: HeadSpec = HeadSpec()
    classes: Annotated[int, Field(ge=2, le=100_000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for _ in self.units():
            pass
        for part in ("stem", "stages"):
            for index, block in enumerate(getattr(self, part)):
                _check_shortcut(block, f"{part}.{index}.shortcut")
        if self.head.output == "sigmoid" and self.classes != 2:
            raise _fault("head.output", f"a sigmoid head has two classes, not {self.classes}; use softmax")
        return self

    @property
    def logits(self) -> int:
        """Outputs of the network: 1 for a sigmoid head, `classes` otherwise."""
        return 1 if self.head.output == "sigmoid" else self.classes

    def units(self) -> Iterator[tuple[str, BlockSpec, Shape, Shape]]:
        """Every single block in order: (module name, block with depth 1, input shape, output shape).

        Raises: PydanticCustomError where a block does not fit the shape it gets.
        """
        shape: Shape = self.input
        for part in ("stem", "stages"):
            for index, block in enumerate(getattr(self, part)):
                for copy, unit in enumerate(copies(block)):
                    before, shape = shape, shape_after(unit, shape, f"{part}.{index}")
                    yield f"{part}.{index}.{copy}", unit, before, shape

    def canonical(self) -> dict[str, Any]:
        """What the network computes, and nothing else: two specs with equal canonical forms are one network.

        Names and the border between stem and stages are dropped, repeated blocks unrolled, defaults filled, ratios
        exchanged for the channels they come to, and
        knobs that have no effect at their place (drop path without a skip) set to zero.
        """
        blocks = [_canonical(unit, before, after) for _, unit, before, after in self.units()]
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

        Widths are rounded to the nearest multiple of `divisor`, at least one multiple; groups that equal the width
        follow it. Raises: ValueError where the scaled spec is not a valid one.
        """

        def scaled(block: Any) -> Any:
            update: dict[str, Any] = {}
            if hasattr(block, "width"):
                update["width"] = max(divisor, round(block.width * width / divisor) * divisor)
            if getattr(block, "groups", 1) == getattr(block, "width", 0) > 1:
                update["groups"] = update["width"]
            if hasattr(block, "depth"):
                update["depth"] = max(1, round(block.depth * depth))
            if isinstance(block, ResidualBlock):
                update["body"] = tuple(scaled(inner) for inner in block.body)
                update["depth"] = max(1, round(block.depth * depth))
            return type(block)(**(dict(block) | update))

        stem, stages = (tuple(scaled(block) for block in part) for part in (self.stem, self.stages))
        return NetworkSpec(**(dict(self) | {"stem": stem, "stages": stages}))

    @classmethod
    def load(cls, path: str | Path) -> NetworkSpec:
        """Reads a YAML file. Raises: DocumentError with every problem of the file."""
        return document.load(cls, path)

    def save(self, path: str | Path) -> None:
        """Writes YAML that `load` reads back to an equal spec."""
        document.save(self, path)


def copies(block: Any) -> Iterator[Any]:
    """The `depth` single blocks that a block stands for; copies after the first have stride 1 throughout."""
    depth = getattr(block, "depth", 1)
    if depth == 1:
        yield block
        return
    first = block.model_copy(update={"depth": 1})
    yield first
    rest = unstrided(first)
    for _ in range(depth - 1):
        yield rest


def unstrided(block: Any) -> Any:
    """The block with every stride 1: what copies after the first are."""
    if isinstance(block, ResidualBlock):
        return block.model_copy(update={"body": tuple(unstrided(inner) for inner in block.body)})
    if hasattr(block, "stride") and block.stride != 1:
        return block.model_copy(update={"stride": 1})
    return block


def hidden_width(ratio: float, channels: int) -> int:
    """Channels of an expansion or of a squeeze: the nearest integer, at least 1."""
    return max(1, round(ratio * channels))


def has_skip(block: InvertedResidualBlock, channels: int) -> bool:
    """An inverted residual has its skip where the shape stays."""
    return block.stride == 1 and block.width == channels


def projection(block: ResidualBlock, stride: int, before: Shape, after: Shape) -> str:
    """How the shortcut around a body of that stride gets from `before` to `after`: identity, conv, avgpool, maxpool.

    A pooled shortcut without anything to pool, in the copies after the first, is as `auto`.
    """
    if block.shortcut == "auto" or (block.shortcut in POOLED and stride == 1):
        return "identity" if before == after else "conv"
    return block.shortcut


def stride_of(body: tuple[Any, ...]) -> int:
    """By how much a body shrinks height and width."""
    stride = 1
    for block in body:
        stride *= getattr(block, "stride", 1)
    return stride


def bias_of(block: Any) -> bool:
    """Whether the block's (last) convolution has a bias: as given, else only without a norm."""
    return not block.norm if block.bias is None else bool(block.bias)


def _fault(path: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("network", "{message}", {"path": path, "message": message})


def shape_after(block: Any, shape: Shape, path: str = "") -> Shape:
    """The shape that a single block makes of `shape`. Raises: PydanticCustomError where the block does not fit."""
    channels, height, width = shape
    if isinstance(block, ResidualBlock):
        return _residual_after(block, shape, path)
    if isinstance(block, SqueezeExciteBlock):
        return shape
    if isinstance(block, PoolBlock):
        pad = block.kernel // 3
        if min(height, width) + 2 * pad < block.kernel:
            raise _fault(path, f"pooling by {block.kernel} on {height}×{width}; use a larger input or fewer halvings")
        height, width = ((n + 2 * pad - block.kernel) // block.stride + 1 for n in (height, width))
        return channels, height, width
    groups = getattr(block, "groups", 1)
    if channels % groups or block.width % groups:
        raise _fault(f"{path}.groups", f"{groups} groups do not divide {channels} into {block.width} channels")
    return block.width, -(-height // block.stride), -(-width // block.stride)


def _check_shortcut(block: Any, path: str) -> None:
    if isinstance(block, ResidualBlock) and block.shortcut in POOLED and stride_of(block.body) == 1:
        raise _fault(path, f"{block.shortcut} with a body of stride 1 has nothing to pool; use auto or conv")


def _residual_after(block: ResidualBlock, shape: Shape, path: str) -> Shape:
    after = shape
    for index, part in enumerate(block.body):
        for unit in copies(part):
            after = shape_after(unit, after, f"{path}.body.{index}")
    if block.shortcut == "identity" and after != shape:
        raise _fault(f"{path}.shortcut", f"an identity cannot carry {shape} to {after}; use auto or conv")
    stride = stride_of(block.body)
    if after[1:] != (-(-shape[1] // stride), -(-shape[2] // stride)):
        raise _fault(
            path, f"the body takes {shape[1:]} to {after[1:]}, no shortcut of stride {stride} does; use an even size"
        )
    return after


def _canonical(block: Any, before: Shape, after: Shape) -> dict[str, Any]:
    data: dict[str, Any] = block.model_dump(exclude={"depth"})
    if "norm" in data:
        data["bias"] = bias_of(block)
    if isinstance(block, InvertedResidualBlock):
        data["expand"] = hidden_width(block.expand, before[0])
        data["se"] = block.se and hidden_width(block.se, data["expand"])
        data["drop_path"] = block.drop_path if has_skip(block, before[0]) else 0.0
    if isinstance(block, SqueezeExciteBlock):
        data["ratio"] = hidden_width(block.ratio, before[0])
    if isinstance(block, ResidualBlock):
        data["shortcut"] = projection(block, stride_of(block.body), before, after)
        data["body"], shape = [], before
        for part in block.body:
            for unit in copies(part):
                start, shape = shape, shape_after(unit, shape)
                data["body"].append(_canonical(unit, start, shape))
        if data["shortcut"] == "identity":
            data["norm"] = data["bias"] = False
    return data
