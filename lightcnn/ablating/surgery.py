"""What an ablation takes out of a network, or exchanges in it: pure functions from spec to spec. No torch.

A network is taken apart into its single blocks, each is changed at its place, and equal neighbours become one block
with a depth again. Input, classes and the kind of output stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lightcnn.spec import (
    ConvBlock,
    InvertedResidualBlock,
    NetworkSpec,
    ResidualBlock,
    SeparableBlock,
    Shape,
    SqueezeExciteBlock,
    hidden_width,
)

LEAST = 8
"""Widths are halved down to that."""
DEEPEST = 64
"""Copies that one block may stand for."""

LONGEST_STEM = 16
"""Blocks that a stem may have; a longer one becomes part of the stages, which is the same network."""

Change = Callable[[Any, Shape], tuple[Any, ...]]
"""What stands in the place of a single block that gets a map of that shape: any number of blocks."""


class NotPossible(Exception):  # noqa: N818 - no error: the operation has nothing to say about this network
    """A network to which an operation cannot be applied; the text is why."""


@dataclass(frozen=True)
class Operation:
    """One change of a network; `absent` is what is said of a network that it leaves as it is."""

    about: str
    change: Callable[[NetworkSpec], NetworkSpec]
    absent: str


def operated(network: NetworkSpec, operation: Operation) -> NetworkSpec:
    """The changed network. Raises: NotPossible where nothing changes or what comes of it is no network."""
    try:
        changed = operation.change(network)
    except ValidationError as error:
        raise NotPossible(f"what is left is no network: {_reason(error)}") from None
    if changed.digest() == network.digest():
        raise NotPossible(operation.absent)
    return changed


def no_se(network: NetworkSpec) -> NetworkSpec:
    """Without squeeze-and-excitation, as a block or inside one; a sum around nothing else goes with it."""

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if isinstance(block, SqueezeExciteBlock):
            return ()
        if isinstance(block, InvertedResidualBlock):
            return (_with(block, se=None),)
        if isinstance(block, ResidualBlock):
            body = _inside(block, shape, change)
            return (_with(block, body=body),) if body else ()
        return (block,)

    return _changed(network, change)


def no_residual(network: NetworkSpec) -> NetworkSpec:
    """Bodies without the sum around them: no shortcut, its convolution neither; strides and pools stay.

    The activation after a sum moves to the convolution before it, where that has none. An inverted residual whose shape
    stays becomes the convolutions it is made of.
    """

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if isinstance(block, ResidualBlock):
            *most, last = _inside(block, shape, change)
            if block.act != "none" and getattr(last, "act", "") == "none" and last.kind in ("conv", "separable"):
                last = _with(last, act=block.act)
            return *most, last
        if isinstance(block, InvertedResidualBlock) and block.has_skip(shape[0]):
            hidden = hidden_width(block.expand, shape[0])
            expand = () if block.expand == 1 else (ConvBlock(width=hidden, kernel=1, act=block.act),)
            depthwise = ConvBlock(width=hidden, kernel=block.kernel, groups=hidden, act=block.act)
            return *expand, depthwise, *_gate(block), _project(block)
        return (block,)

    return _changed(network, change)


def plain_convolutions(network: NetworkSpec) -> NetworkSpec:
    """Every convolution sees all channels: separable and grouped ones become plain, kernel and stride stay.

    Of an inverted residual the expansion and the depthwise convolution become one: Fused-MBConv (arXiv:2104.00298).
    Raises: NotPossible for an inverted residual with its skip inside a residual's body, which has no such form.
    """

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if isinstance(block, ConvBlock):
            return (_with(block, groups=1),)
        if isinstance(block, SeparableBlock):
            kept = ("width", "kernel", "stride", "norm", "bias", "act")
            return (ConvBlock(**{name: getattr(block, name) for name in kept}),)
        if isinstance(block, InvertedResidualBlock):
            hidden = hidden_width(block.expand, shape[0])
            fused = ConvBlock(width=hidden, kernel=block.kernel, stride=block.stride, act=block.act)
            body: tuple[Any, ...] = (fused, *_gate(block), _project(block))
            if not block.has_skip(shape[0]):
                return body
            return (ResidualBlock(body=body, shortcut="identity", drop_path=block.drop_path),)
        if isinstance(block, ResidualBlock):
            body = _inside(block, shape, change)
            if any(isinstance(part, ResidualBlock) for part in body):
                raise NotPossible("an inverted residual inside a residual's body has no plain form")
            return (_with(block, body=body),)
        return (block,)

    return _changed(network, change)


def relu(network: NetworkSpec) -> NetworkSpec:
    """ReLU for every other activation, the head's too; where there was none there is none."""

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        update: dict[str, Any] = {"act": "relu"} if getattr(block, "act", "none") != "none" else {}
        if isinstance(block, ResidualBlock):
            update["body"] = _inside(block, shape, change)
        return (_with(block, **update),)

    head = network.head
    return _changed(network, change, head=_with(head, act="relu") if head.act != "none" else head)


def narrower(network: NetworkSpec) -> NetworkSpec:
    """Widths above 8 halved, to no less than 8 or what the groups divide; the head's dense layers too."""
    channels = network.input[0]

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        nonlocal channels
        if isinstance(block, ResidualBlock):
            return (_with(block, body=_inside(block, shape, change)),)
        if not hasattr(block, "width"):
            return (block,)
        width, update = halved(block.width), {}
        if isinstance(block, ConvBlock):
            groups = _groups(block.groups, shape[0], channels)
            width, update = max(groups, width // groups * groups), {"groups": groups}
        channels = width
        return (_with(block, width=width, **update),)

    return _changed(network, change, head=_with(network.head, hidden=tuple(map(halved, network.head.hidden))))


def shallower(network: NetworkSpec) -> NetworkSpec:
    """Half of the copies of every repeated block, rounded up, in bodies too; equal neighbours are a repeated block."""

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if not isinstance(block, ResidualBlock):
            return (block,)
        return (_with(block, body=tuple(map(_halved_depth, _inside(block, shape, change)))),)

    rolled = _changed(network, change)
    stem, stages = (tuple(map(_halved_depth, part)) for part in (rolled.stem, rolled.stages))
    return NetworkSpec(**(dict(rolled) | {"stem": stem, "stages": stages}))


OPERATIONS: dict[str, Operation] = {
    "no-se": Operation(
        "without squeeze-and-excitation", no_se, "the network has no squeeze-and-excitation"
    ),
    "no-residual": Operation(
        "without residual sums", no_residual, "the network has no residual sum"
    ),
    "plain-convolutions": Operation(
        "plain convolutions for separable ones", plain_convolutions, "the network has no separable convolution"
    ),
    "relu": Operation(
        "ReLU for every other activation", relu, "the network has no activation but ReLU"
    ),
    "narrower": Operation(
        "widths halved", narrower, f"the network has no width above {LEAST}"
    ),
    "shallower": Operation(
        "repeated blocks half as often", shallower, "the network repeats no block"
    ),
}  # fmt: skip
"""The changes of an architecture by name."""


def rolled(blocks: Sequence[Any]) -> tuple[Any, ...]:
    """The same blocks, with a depth where one is followed by copies of itself."""
    found: list[Any] = []
    for block in blocks:
        last = found[-1] if found else None
        depth = getattr(last, "depth", DEEPEST) + getattr(block, "depth", 1)
        if depth <= DEEPEST and block == _with(last, depth=1).unstrided():
            found[-1] = _with(last, depth=depth)
        else:
            found.append(block)
    return tuple(found)


def halved(width: int) -> int:
    """Half of a width above `LEAST`, and at least that."""
    return width if width <= LEAST else max(LEAST, width // 2)


def _changed(network: NetworkSpec, change: Change, **update: Any) -> NetworkSpec:
    """The network with each single block changed. Raises: ValidationError where what is left is none."""
    parts: dict[str, list[Any]] = {"stem": [], "stages": []}
    for name, unit, before, _ in network.units():
        parts[name.partition(".")[0]] += change(unit, before)
    stem, stages = (tuple(map(_settled, rolled(part))) for part in parts.values())
    if not stages or len(stem) > LONGEST_STEM:
        stem, stages = (), (*stem, *stages)
    return NetworkSpec(**(dict(network) | {"stem": stem, "stages": stages} | update))


def _inside(block: ResidualBlock, shape: Shape, change: Change) -> tuple[Any, ...]:
    """A body with each of its single blocks changed."""
    found: list[Any] = []
    for part in block.body:
        for unit in part.copies():
            found += change(unit, shape)
            shape = unit.output_shape(shape)
    return rolled(found)


def _settled(block: Any) -> Any:
    """A block that stands alone: a shortcut that pooled in an earlier copy, and has nothing to pool here, is `auto`."""
    alone = isinstance(block, ResidualBlock) and block.pools_nothing
    return _with(block, shortcut="auto") if alone else block


def _with(block: Any, **update: Any) -> Any:
    """A changed block, checked anew."""
    return type(block)(**(dict(block) | update))


def _gate(block: InvertedResidualBlock) -> tuple[SqueezeExciteBlock, ...]:
    return () if block.se is None else (SqueezeExciteBlock(ratio=block.se),)


def _project(block: InvertedResidualBlock) -> ConvBlock:
    return ConvBlock(width=block.width, kernel=1, act="none")


def _groups(groups: int, before: int, channels: int) -> int:
    """The groups of a convolution that got `before` channels and gets `channels` now: no more channels in each."""
    return next(n for n in range(1, channels + 1) if channels % n == 0 and n * before >= channels * groups)


def _halved_depth(block: Any) -> Any:
    return _with(block, depth=-(-block.depth // 2)) if hasattr(block, "depth") else block


def _reason(error: ValidationError) -> str:
    """The first problem in a few words."""
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    if "path" in context:
        return f"{context['path']}: {context['message']}"
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
