"""The blocks of a network as data: their settings, output shapes and canonical forms. No torch.

`lightcnn.spec` makes a network of them, and exports all of them too. A block with `depth: n` means n copies: the first
has the block's stride, the others have stride 1. Convolutions are padded by `kernel // 2`, so stride 1 keeps height and
width, and stride 2 halves them, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from lightcnn.document import Frozen, rule_error

Shape = tuple[int, int, int]
"""Channels, height and width of one image or feature map."""


def _swish_is_silu(value: Any) -> Any:
    return "silu" if value == "swish" else value


Activation = Annotated[
    Literal["silu", "relu", "relu6", "hardswish", "gelu", "none"],
    BeforeValidator(
        _swish_is_silu, json_schema_input_type=Literal["silu", "swish", "relu", "relu6", "hardswish", "gelu", "none"]
    ),
]


def _require_integer(value: Any) -> Any:
    """Without this, the literal 1 would also accept 1.0 and true."""
    if type(value) is not int:
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


Kernel = Annotated[Literal[1, 3, 5, 7], BeforeValidator(_require_integer)]
Stride = Annotated[Literal[1, 2], BeforeValidator(_require_integer)]
Width = Annotated[int, Field(ge=1, le=16384, description="output channels")]
Depth = Annotated[int, Field(ge=1, le=64, description="number of copies; only the first has the block's stride")]
Ratio = Annotated[float, Field(gt=0, le=1, description="hidden channels divided by gated channels")]
Rate = Annotated[float, Field(ge=0, lt=1)]


def hidden_width(ratio: float, channels: int) -> int:
    """Channels of an expansion or of a squeeze: the nearest integer, at least 1."""
    return max(1, round(ratio * channels))


class Block(Frozen):
    """Base of all blocks. A block without a width, a stride or a depth keeps these defaults."""

    def copies(self) -> Iterator[Self]:
        """The `depth` single blocks of this block; those after the first have stride 1."""
        depth = getattr(self, "depth", 1)
        if depth == 1:
            yield self
            return
        first = self.model_copy(update={"depth": 1})
        yield first
        rest = first.unstrided()
        for _ in range(depth - 1):
            yield rest

    @property
    def unit_count(self) -> int:
        """Number of single blocks of all copies, those of a residual body included."""
        return int(getattr(self, "depth", 1))

    def unstrided(self) -> Self:
        """The same block with every stride 1."""
        return self if getattr(self, "stride", 1) == 1 else self.model_copy(update={"stride": 1})

    def scaled(self, width: float, depth: float, divisor: int) -> Self:
        """The block with its width and depth multiplied, if it has them. Raises: ValidationError."""
        return type(self)(**(dict(self) | self._scaled_fields(width, depth, divisor)))

    def _scaled_fields(self, width: float, depth: float, divisor: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if hasattr(self, "width"):
            fields["width"] = max(divisor, round(self.width * width / divisor) * divisor)
        if hasattr(self, "depth"):
            fields["depth"] = max(1, round(self.depth * depth))
        return fields

    def output_shape(self, shape: Shape, path: str = "") -> Shape:
        """The output shape of a single block for an input of that shape.

        Raises: PydanticCustomError with the place `path` if the block does not fit the input.
        """
        return shape

    def canonical(self, before: Shape, after: Shape) -> dict[str, Any]:
        """What a single block computes between two shapes, as plain data; equal for blocks that compute the same."""
        return self.model_dump(exclude={"depth"})


class ConvBlock(Block):
    """Convolution, BatchNorm, activation. `groups` must divide the input channels and the width."""

    kind: Literal["conv"] = "conv"
    width: Width
    kernel: Kernel = 3
    stride: Stride = 1
    groups: Annotated[int, Field(ge=1)] = 1
    norm: bool = True
    bias: Annotated[bool | None, Field(description="default: only without a norm")] = None
    act: Activation = "silu"
    depth: Depth = 1

    @property
    def has_bias(self) -> bool:
        """Whether the convolution has a bias: by default only without a norm."""
        return _has_bias(self.norm, self.bias)

    def _scaled_fields(self, width: float, depth: float, divisor: int) -> dict[str, Any]:
        """Groups that equal the width (a depthwise convolution) follow it."""
        fields = super()._scaled_fields(width, depth, divisor)
        return fields | {"groups": fields["width"]} if self.groups == self.width > 1 else fields

    def output_shape(self, shape: Shape, path: str = "") -> Shape:
        """The width, and the input's height and width divided by the stride, rounded up."""
        if shape[0] % self.groups or self.width % self.groups:
            rule = f"{self.groups} groups do not divide {shape[0]} input channels and {self.width} output channels"
            raise rule_error(f"{path}.groups", rule)
        return self.width, *_strided(shape, self.stride)

    def canonical(self, before: Shape, after: Shape) -> dict[str, Any]:
        """With the bias filled in."""
        return super().canonical(before, after) | {"bias": self.has_bias}


class SeparableBlock(Block):
    """Depthwise k×k, then pointwise 1×1 (MobileNetV1, arXiv:1704.04861; with `inner: false`, as in Keras)."""

    kind: Literal["separable"] = "separable"
    width: Width
    kernel: Kernel = 3
    stride: Stride = 1
    norm: bool = True
    bias: Annotated[
        bool | None, Field(description="bias of the pointwise convolution; default: only without a norm")
    ] = None
    act: Activation = "silu"
    inner: Annotated[
        bool, Field(description="norm and activation between the depthwise and the pointwise convolution")
    ] = True
    depth: Depth = 1

    @property
    def has_bias(self) -> bool:
        """Whether the pointwise convolution has a bias: by default only without a norm."""
        return _has_bias(self.norm, self.bias)

    def output_shape(self, shape: Shape, path: str = "") -> Shape:
        """The width, and the input's height and width divided by the stride, rounded up."""
        return self.width, *_strided(shape, self.stride)

    def canonical(self, before: Shape, after: Shape) -> dict[str, Any]:
        """With the bias filled in."""
        return super().canonical(before, after) | {"bias": self.has_bias}


class InvertedResidualBlock(Block):
    """Expand 1×1, depthwise k×k, project 1×1, with a skip if the shape stays (MobileNetV2, arXiv:1801.04381)."""

    kind: Literal["mbconv"] = "mbconv"
    width: Width
    kernel: Kernel = 3
    stride: Stride = 1
    expand: Annotated[
        float, Field(ge=1, le=16, description="hidden channels divided by input channels; 1 leaves the expansion out")
    ] = 6.0
    se: Annotated[Ratio | None, Field(description="squeeze-and-excitation on the hidden channels")] = None
    act: Activation = "silu"
    drop_path: Rate = 0.0
    depth: Depth = 1

    def has_skip(self, channels: int) -> bool:
        """Whether a single block on so many input channels keeps the shape, and so has a skip."""
        return self.stride == 1 and self.width == channels

    def output_shape(self, shape: Shape, path: str = "") -> Shape:
        """The width, and the input's height and width divided by the stride, rounded up."""
        return self.width, *_strided(shape, self.stride)

    def canonical(self, before: Shape, after: Shape) -> dict[str, Any]:
        """With channels in place of ratios, and without a drop path if there is no skip."""
        hidden = hidden_width(self.expand, before[0])
        return super().canonical(before, after) | {
            "expand": hidden,
            "se": self.se and hidden_width(self.se, hidden),
            "drop_path": self.drop_path if self.has_skip(before[0]) else 0.0,
        }


class SqueezeExciteBlock(Block):
    """Squeeze-and-excitation as a block of its own (arXiv:1709.01507): pool, reduce, ReLU, expand, sigmoid, scale."""

    kind: Literal["se"] = "se"
    ratio: Ratio = 0.25

    def canonical(self, before: Shape, after: Shape) -> dict[str, Any]:
        """With channels in place of the ratio."""
        return super().canonical(before, after) | {"ratio": hidden_width(self.ratio, before[0])}


class PoolBlock(Block):
    """Max or average pooling; kernel 2 without padding, kernel 3 padded by 1."""

    kind: Literal["pool"] = "pool"
    op: Literal["max", "avg"] = "max"
    kernel: Annotated[Literal[2, 3], BeforeValidator(_require_integer)] = 2
    stride: Stride = 2

    def output_shape(self, shape: Shape, path: str = "") -> Shape:
        """The same channels, pooled and rounded down. Raises: PydanticCustomError if the kernel exceeds the input."""
        channels, height, width = shape
        padding = self.kernel // 3
        if min(height, width) + 2 * padding < self.kernel:
            rule = f"a pooling of size {self.kernel} does not fit on {height}×{width}"
            raise rule_error(path, f"{rule}; use a larger input or fewer strides")
        height, width = ((n + 2 * padding - self.kernel) // self.stride + 1 for n in (height, width))
        return channels, height, width


_BodyBlock = ConvBlock | SeparableBlock | InvertedResidualBlock | SqueezeExciteBlock | PoolBlock
BodyBlock = Annotated[_BodyBlock, Field(discriminator="kind")]
"""A block that may be in the body of a residual block."""
POOLED = ("avgpool", "maxpool")
"""Shortcuts that pool before their 1×1 convolution."""


class ResidualBlock(Block):
    """The sum of a body and a shortcut, then an activation (ResNet, arXiv:1512.03385).

    `shortcut`: `identity`; `conv`, a 1×1 convolution with the body's stride; `avgpool` or `maxpool`, pooling by the
    body's stride and then a 1×1 convolution (ResNet-D, arXiv:1812.01187); `auto`, identity if the shape stays and
    `conv` if it changes. `norm` and `bias` are those of the 1×1 convolution.
    """

    kind: Literal["residual"] = "residual"
    body: Annotated[tuple[BodyBlock, ...], Field(min_length=1, max_length=16)]
    shortcut: Literal["auto", "identity", "conv", "avgpool", "maxpool"] = "auto"
    norm: bool = True
    bias: bool | None = None
    act: Activation = "none"
    drop_path: Rate = 0.0
    depth: Depth = 1

    @property
    def has_bias(self) -> bool:
        """Whether the convolution of the shortcut has a bias: by default only without a norm."""
        return _has_bias(self.norm, self.bias)

    @property
    def unit_count(self) -> int:
        """Number of single blocks of all copies, with the body and the residual block itself."""
        return self.depth * (1 + sum(block.unit_count for block in self.body))

    @property
    def body_stride(self) -> int:
        """The factor by which the body reduces height and width."""
        return math.prod(getattr(block, "stride", 1) for block in self.body)

    @property
    def pools_nothing(self) -> bool:
        """Whether the shortcut pools although the body has stride 1."""
        return self.shortcut in POOLED and self.body_stride == 1

    def shortcut_kind(self, stride: int, before: Shape, after: Shape) -> str:
        """The kind of shortcut around a body of that stride: identity, conv, avgpool or maxpool.

        With stride 1 there is nothing to pool (in the copies after the first): a pooled shortcut is then like `auto`.
        """
        if self.shortcut == "auto" or (self.shortcut in POOLED and stride == 1):
            return "identity" if before == after else "conv"
        return self.shortcut

    def unstrided(self) -> Self:
        """The same block with every stride of the body 1."""
        return self.model_copy(update={"body": tuple(block.unstrided() for block in self.body)})

    def _scaled_fields(self, width: float, depth: float, divisor: int) -> dict[str, Any]:
        body = tuple(block.scaled(width, depth, divisor) for block in self.body)
        return super()._scaled_fields(width, depth, divisor) | {"body": body}

    def body_units(self, shape: Shape, path: str = "") -> Iterator[tuple[Block, Shape, Shape]]:
        """Every single block of the body: (block, input shape, output shape)."""
        for index, block in enumerate(self.body):
            for unit in block.copies():
                before, shape = shape, unit.output_shape(shape, f"{path}.body.{index}")
                yield unit, before, shape

    def output_shape(self, shape: Shape, path: str = "") -> Shape:
        """The shape after the body. Raises: PydanticCustomError if the shortcut does not lead to it."""
        *_, (_, _, after) = self.body_units(shape, path)
        if self.shortcut == "identity" and after != shape:
            raise rule_error(f"{path}.shortcut", f"an identity cannot lead from {shape} to {after}; use auto or conv")
        if after[1:] != _strided(shape, self.body_stride):
            rule = f"the body leads from {shape[1:]} to {after[1:]}"
            remedy = f"a shortcut of stride {self.body_stride} does not; use an even input size"
            raise rule_error(path, f"{rule}, but {remedy}")
        return after

    def canonical(self, before: Shape, after: Shape) -> dict[str, Any]:
        """With the body unrolled, the shortcut resolved, and no norm or bias for an identity."""
        shortcut = self.shortcut_kind(self.body_stride, before, after)
        convolves = shortcut != "identity"
        return super().canonical(before, after) | {
            "shortcut": shortcut,
            "body": [unit.canonical(start, end) for unit, start, end in self.body_units(before)],
            "norm": self.norm and convolves,
            "bias": self.has_bias and convolves,
        }


BlockSpec = Annotated[_BodyBlock | ResidualBlock, Field(discriminator="kind")]
"""A block of a stem or of the stages."""
BLOCKS: dict[str, type[Block]] = {
    get_args(block.model_fields["kind"].annotation)[0]: block for block in get_args(get_args(BlockSpec)[0])
}
"""The class of every kind of block."""


def _has_bias(norm: bool, bias: bool | None) -> bool:
    return not norm if bias is None else bias


def _strided(shape: Shape, stride: int) -> tuple[int, int]:
    """Height and width after a padded convolution of that stride."""
    return -(-shape[1] // stride), -(-shape[2] // stride)
