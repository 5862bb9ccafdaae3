"""A network as the list of operators that a device runs one after the other, with the tensors between them. No torch.

This is the form from which a network is quantized (`integer`), its buffers are planned (`memory_plan`) and C is
generated (`exporting.c`). Norms are part of the preceding convolution, as in the deployed network; dropout and dropped
paths do nothing. A test checks that the program of every kind of block, run in floating point, gives the outputs of the
network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lightcnn import spec
from lightcnn.block_specs import Block
from lightcnn.spec import NetworkSpec, Shape

Operator = Literal["input", "conv", "depthwise", "maxpool", "avgpool", "mean", "add", "scale"]
"""What a step computes.

`input`: pixels 0..255 → normalised input. `conv`: a convolution; dense layers are convolutions of one pixel.
`depthwise`: a convolution of each channel with a kernel of its own. `mean`: the mean of each channel. `add`: the sum of
two tensors. `scale`: a tensor (C, H, W) times a factor per channel (C, 1, 1).
"""
OPERATORS: tuple[str, ...] = get_args(Operator)
CONVOLUTIONS = ("conv", "depthwise")
"""Operators with weights."""
Function = Literal["none", "relu", "relu6", "silu", "hardswish", "gelu", "sigmoid"]
"""What is applied to every output of a step: an activation of a spec, or the sigmoid of a squeeze-and-excitation."""
PIXELS = 0
"""Number of the tensor that holds the pixels of the image."""


@dataclass(frozen=True)
class Step:
    """An operator of a program; `inputs` and `output` are numbers of tensors.

    `weights` is the name of the torch module in the folded network, such as `stages.0.0.depthwise.conv`, whose weight
    and bias the step uses; it is "" for operators without weights. `name` is unique, and names the step for people.

    A window of `kernel` (rows, columns) moves by `stride` over the input, which `padding` rows and columns surround on
    every side. Padding adds nothing to a convolution and is never the maximum; an average counts it, but not what is
    beyond it.
    """

    operator: Operator
    name: str
    inputs: tuple[int, ...]
    output: int
    weights: str = ""
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: int = 0
    groups: int = 1
    function: Function = "none"


@dataclass(frozen=True)
class Program:
    """The steps of a network in the order in which they run, and the shape (C, H, W) of every tensor by its number.

    Tensor 0 holds the pixels; the output of the last step holds the logits (logits, 1, 1).
    """

    steps: tuple[Step, ...]
    shapes: tuple[Shape, ...]

    @property
    def output(self) -> int:
        """Number of the tensor of the logits."""
        return self.steps[-1].output

    def elements(self, tensor: int) -> int:
        """Number of elements of a tensor."""
        channels, height, width = self.shapes[tensor]
        return channels * height * width

    @property
    def largest(self) -> int:
        """Number of elements of the largest tensor."""
        return max(map(self.elements, range(len(self.shapes))))

    def weight_shape(self, step: Step) -> tuple[int, int, int, int]:
        """Shape (out, in / groups, rows, columns) of the weights of a convolution."""
        return self.shapes[step.output][0], self.shapes[step.inputs[0]][0] // step.groups, *step.kernel


def program(network: NetworkSpec) -> Program:
    """The program of a network.

    Args:
        network: The spec.

    Returns:
        The steps, and the shapes of the tensors between them.

    Example:
        >>> from lightcnn import Recipe
        >>> from lightcnn.program import program
        >>> [step.operator for step in program(Recipe.load("quick").network).steps][:3]
        ['input', 'conv', 'depthwise']
    """
    builder = _Builder(network.input)
    builder.add("input", "input")
    for name, unit, _, _ in network.units():
        _add_block(builder, name, unit)
    _add_head(builder, network)
    return builder.program()


def part_program(blocks: Iterable[Block], shape: Shape) -> Program:
    """The steps of consecutive blocks of a network, whose input is tensor 0 of that shape."""
    builder = _Builder(shape)
    for index, block in enumerate(blocks):
        for copy, unit in enumerate(block.copies()):
            _add_block(builder, f"{index}.{copy}", unit)
    return builder.program()


def head_program(network: NetworkSpec, shape: Shape) -> Program:
    """The steps of a network's head, whose input is tensor 0 of that shape."""
    builder = _Builder(shape)
    _add_head(builder, network)
    return builder.program()


@dataclass
class _Builder:
    """The steps so far; `current` is the number of the tensor that the next step reads."""

    input: Shape
    steps: list[Step] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    current: int = PIXELS

    def __post_init__(self) -> None:
        self.shapes.append(self.input)

    def program(self) -> Program:
        """The program of the steps so far."""
        return Program(tuple(self.steps), tuple(self.shapes))

    @property
    def shape(self) -> Shape:
        """Shape of the current tensor."""
        return self.shapes[self.current]

    def add(self, operator: Operator, name: str, shape: Shape | None = None, *others: int, **settings: Any) -> None:
        """Appends a step that reads the current tensor and `others`, and whose output becomes the current tensor."""
        inputs = (self.current, *others)
        self.shapes.append(shape or self.shape)
        self.current = len(self.shapes) - 1
        self.steps.append(Step(operator, name, inputs, self.current, **settings))

    def convolve(
        self,
        name: str,
        width: int,
        *,
        weights: str,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        function: str = "none",
    ) -> None:
        """Appends a convolution padded by kernel // 2."""
        channels, height, columns = self.shape
        shape = (width, -(-height // stride), -(-columns // stride))
        self.add(
            "depthwise" if groups == channels == width else "conv", name, shape, weights=weights,
            kernel=(kernel, kernel), stride=stride, padding=kernel // 2, groups=groups, function=function,
        )  # fmt: skip

    def pool_all(self, name: str, op: str) -> None:
        """Appends a pooling to one pixel."""
        channels, height, width = self.shape
        if op == "avg":
            self.add("mean", name, (channels, 1, 1))
        else:
            self.add("maxpool", name, (channels, 1, 1), kernel=(height, width))


def _add_head(builder: _Builder, network: NetworkSpec) -> None:
    builder.pool_all("head.pool", network.head.pool)
    for index, width in enumerate(network.head.hidden):
        builder.convolve(f"head.hidden.{index}", width, weights=f"head.hidden.{index}", function=network.head.act)
    builder.convolve("head.classifier", network.logits, weights="head.classifier")


def _add_block(builder: _Builder, name: str, block: Any) -> None:
    _BLOCKS[block.kind](builder, name, block)


def _conv(builder: _Builder, name: str, block: spec.ConvBlock) -> None:
    builder.convolve(
        name, block.width, weights=f"{name}.conv", kernel=block.kernel, stride=block.stride, groups=block.groups,
        function=block.act,
    )  # fmt: skip


def _separable(builder: _Builder, name: str, block: spec.SeparableBlock) -> None:
    channels = builder.shape[0]
    builder.convolve(
        f"{name}.depthwise", channels, weights=f"{name}.depthwise.conv", kernel=block.kernel, stride=block.stride,
        groups=channels, function=block.act if block.inner else "none",
    )  # fmt: skip
    builder.convolve(f"{name}.pointwise", block.width, weights=f"{name}.pointwise.conv", function=block.act)


def _mbconv(builder: _Builder, name: str, block: spec.InvertedResidualBlock) -> None:
    before, channels = builder.current, builder.shape[0]
    hidden = spec.hidden_width(block.expand, channels)
    if block.expand != 1:
        builder.convolve(f"{name}.expand", hidden, weights=f"{name}.expand.conv", function=block.act)
    builder.convolve(
        f"{name}.depthwise", hidden, weights=f"{name}.depthwise.conv", kernel=block.kernel, stride=block.stride,
        groups=hidden, function=block.act,
    )  # fmt: skip
    if block.se is not None:
        _excite(builder, f"{name}.se", block.se)
    builder.convolve(f"{name}.project", block.width, weights=f"{name}.project.conv")
    if block.has_skip(channels):
        builder.add("add", f"{name}.sum", None, before)


def _se(builder: _Builder, name: str, block: spec.SqueezeExciteBlock) -> None:
    _excite(builder, name, block.ratio)


def _excite(builder: _Builder, name: str, ratio: float) -> None:
    before, channels, shape = builder.current, builder.shape[0], builder.shape
    builder.pool_all(f"{name}.pool", "avg")
    width = spec.hidden_width(ratio, channels)
    builder.convolve(f"{name}.reduce", width, weights=f"{name}.reduce.conv", function="relu")
    builder.convolve(f"{name}.expand", channels, weights=f"{name}.expand.conv", function="sigmoid")
    gate, builder.current = builder.current, before
    builder.add("scale", f"{name}.scale", shape, gate)


def _pool(builder: _Builder, name: str, block: spec.PoolBlock) -> None:
    operator: Operator = "maxpool" if block.op == "max" else "avgpool"
    builder.add(
        operator, name, block.output_shape(builder.shape), kernel=(block.kernel, block.kernel), stride=block.stride,
        padding=block.kernel // 3,
    )  # fmt: skip


def _residual(builder: _Builder, name: str, block: spec.ResidualBlock) -> None:
    before, shape = builder.current, builder.shape
    for index, part in enumerate(block.body):
        for copy, unit in enumerate(part.copies()):
            _add_block(builder, f"{name}.body.{index}.{copy}", unit)
    body, stride = builder.current, block.body_stride
    kind = block.shortcut_kind(stride, shape, builder.shape)
    builder.current = before
    if kind != "identity":
        _shortcut(builder, f"{name}.shortcut", kind, stride, builder.shapes[body])
    shortcut, builder.current = builder.current, body
    builder.add("add", f"{name}.sum", None, shortcut, function=block.act)


def _shortcut(builder: _Builder, name: str, kind: str, stride: int, after: Shape) -> None:
    if kind in spec.POOLED:
        operator: Operator = "avgpool" if kind == "avgpool" else "maxpool"
        shape = (builder.shape[0], *after[1:])
        builder.add(operator, f"{name}.pool", shape, kernel=(stride, stride), stride=stride)
        stride = 1
    builder.convolve(f"{name}.project", after[0], weights=f"{name}.project.conv", stride=stride)


_BLOCKS: dict[str, Callable[[_Builder, str, Any], None]] = {
    "conv": _conv,
    "separable": _separable,
    "mbconv": _mbconv,
    "se": _se,
    "pool": _pool,
    "residual": _residual,
}
