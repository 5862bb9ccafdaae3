"""What an ablation removes from a network or replaces in it: pure functions from spec to spec. No torch.

A network is taken apart into its single blocks, each block is changed in place, and equal neighbours are merged into
one block with a depth. Input, classes and the kind of output stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

MIN_WIDTH = 8
"""Channels down to which widths are halved."""
MAX_DEPTH = 64
"""Copies that one block may have."""
MAX_STEM_BLOCKS = 16
"""Blocks that a stem may have; a longer one becomes part of the stages, which is the same network."""

BlockChange = Callable[[Any, Shape], tuple[Any, ...]]
"""Maps a single block and the shape of its input to the blocks that replace it, of any number."""


class NotPossible(Exception):  # noqa: N818 - not an error: the operation does not apply to this network
    """An operation cannot be applied to a network; the text states why."""


@dataclass(frozen=True)
class Operation:
    """One change of a network; `absent` is the reason if the network has nothing to change."""

    about: str
    change: Callable[[NetworkSpec], NetworkSpec]
    absent: str


def apply_operation(network: NetworkSpec, operation: Operation) -> NetworkSpec:
    """The changed network. Raises: NotPossible if nothing changes or the result is not a valid network."""
    try:
        changed = operation.change(network)
    except ValidationError as error:
        raise NotPossible(f"the result is not a valid network: {_format_reason(error)}") from None
    if changed.digest() == network.digest():
        raise NotPossible(operation.absent)
    return changed


def no_se(network: NetworkSpec) -> NetworkSpec:
    """Removes squeeze-and-excitation, as a block or inside one; a residual sum with an empty body is removed too."""

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if isinstance(block, SqueezeExciteBlock):
            return ()
        if isinstance(block, InvertedResidualBlock):
            return (_replace(block, {"se": None}),)
        if isinstance(block, ResidualBlock):
            body = _change_body(block, shape, change)
            return (_replace(block, {"body": body}),) if body else ()
        return (block,)

    return _change_blocks(network, change)


def no_residual(network: NetworkSpec) -> NetworkSpec:
    """Replaces residual sums by their bodies, without shortcuts and their convolutions; strides and pools stay.

    The activation after a sum moves to the convolution before it if that has none. An inverted residual with a skip
    becomes the convolutions it consists of.
    """

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if isinstance(block, ResidualBlock):
            *most, last = _change_body(block, shape, change)
            if block.act != "none" and getattr(last, "act", "") == "none" and last.kind in ("conv", "separable"):
                last = _replace(last, {"act": block.act})
            return *most, last
        if isinstance(block, InvertedResidualBlock) and block.has_skip(shape[0]):
            hidden = hidden_width(block.expand, shape[0])
            expand = () if block.expand == 1 else (ConvBlock(width=hidden, kernel=1, act=block.act),)
            depthwise = ConvBlock(width=hidden, kernel=block.kernel, groups=hidden, act=block.act)
            return *expand, depthwise, *_squeeze_excite(block), _projection(block)
        return (block,)

    return _change_blocks(network, change)


def plain_convolutions(network: NetworkSpec) -> NetworkSpec:
    """Replaces separable and grouped convolutions by plain ones; kernel and stride stay.

    The expansion and the depthwise convolution of an inverted residual become one: Fused-MBConv (arXiv:2104.00298).
    Raises: NotPossible for an inverted residual with a skip inside the body of a residual, which has no plain form.
    """

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if isinstance(block, ConvBlock):
            return (_replace(block, {"groups": 1}),)
        if isinstance(block, SeparableBlock):
            kept = ("width", "kernel", "stride", "norm", "bias", "act")
            return (ConvBlock(**{name: getattr(block, name) for name in kept}),)
        if isinstance(block, InvertedResidualBlock):
            hidden = hidden_width(block.expand, shape[0])
            fused = ConvBlock(width=hidden, kernel=block.kernel, stride=block.stride, act=block.act)
            body: tuple[Any, ...] = (fused, *_squeeze_excite(block), _projection(block))
            if not block.has_skip(shape[0]):
                return body
            return (ResidualBlock(body=body, shortcut="identity", drop_path=block.drop_path),)
        if isinstance(block, ResidualBlock):
            body = _change_body(block, shape, change)
            if any(isinstance(part, ResidualBlock) for part in body):
                raise NotPossible("an inverted residual inside the body of a residual has no plain form")
            return (_replace(block, {"body": body}),)
        return (block,)

    return _change_blocks(network, change)


def relu(network: NetworkSpec) -> NetworkSpec:
    """Replaces every other activation by ReLU, also in the head; layers without an activation stay without one."""

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        update: dict[str, Any] = {"act": "relu"} if getattr(block, "act", "none") != "none" else {}
        if isinstance(block, ResidualBlock):
            update["body"] = _change_body(block, shape, change)
        return (_replace(block, update),)

    head = network.head
    return _change_blocks(network, change, {"head": _replace(head, {"act": "relu"}) if head.act != "none" else head})


def narrower(network: NetworkSpec) -> NetworkSpec:
    """Halves widths above 8, down to 8 or a multiple of the groups; also those of dense layers in the head."""
    channels = network.input[0]

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        nonlocal channels
        if isinstance(block, ResidualBlock):
            return (_replace(block, {"body": _change_body(block, shape, change)}),)
        if not hasattr(block, "width"):
            return (block,)
        width, update = halve_width(block.width), {}
        if isinstance(block, ConvBlock):
            groups = _group_count(block.groups, shape[0], channels)
            width, update = max(groups, width // groups * groups), {"groups": groups}
        channels = width
        return (_replace(block, {"width": width, **update}),)

    head = _replace(network.head, {"hidden": tuple(map(halve_width, network.head.hidden))})
    return _change_blocks(network, change, {"head": head})


def shallower(network: NetworkSpec) -> NetworkSpec:
    """Halves the copies of every repeated block, rounded up, also in bodies; equal neighbours are a repeated block."""

    def change(block: Any, shape: Shape) -> tuple[Any, ...]:
        if not isinstance(block, ResidualBlock):
            return (block,)
        return (_replace(block, {"body": tuple(map(_halve_depth, _change_body(block, shape, change)))}),)

    merged = _change_blocks(network, change)
    stem, stages = (tuple(map(_halve_depth, part)) for part in (merged.stem, merged.stages))
    return NetworkSpec(**(dict(merged) | {"stem": stem, "stages": stages}))


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
        "widths halved", narrower, f"the network has no width above {MIN_WIDTH}"
    ),
    "shallower": Operation(
        "repeated blocks half as often", shallower, "the network repeats no block"
    ),
}  # fmt: skip
"""The changes of an architecture by name."""


def merge_repeats(blocks: Sequence[Any]) -> tuple[Any, ...]:
    """The same blocks, in which a block followed by copies of itself becomes one block with a depth."""
    merged: list[Any] = []
    for block in blocks:
        last = merged[-1] if merged else None
        depth = getattr(last, "depth", MAX_DEPTH) + getattr(block, "depth", 1)
        if depth <= MAX_DEPTH and block == _replace(last, {"depth": 1}).unstrided():
            merged[-1] = _replace(last, {"depth": depth})
        else:
            merged.append(block)
    return tuple(merged)


def halve_width(width: int) -> int:
    """Half of a width, at least `MIN_WIDTH`; smaller widths stay."""
    return width if width <= MIN_WIDTH else max(MIN_WIDTH, width // 2)


def _change_blocks(network: NetworkSpec, change: BlockChange, update: Mapping[str, Any] | None = None) -> NetworkSpec:
    """The network with each single block changed, and then the keys of `update`.

    Raises: ValidationError if the result is not a valid network.
    """
    parts: dict[str, list[Any]] = {"stem": [], "stages": []}
    for name, unit, before, _ in network.units():
        parts[name.partition(".")[0]] += change(unit, before)
    stem, stages = (tuple(map(_with_valid_shortcut, merge_repeats(part))) for part in parts.values())
    if not stages or len(stem) > MAX_STEM_BLOCKS:
        stem, stages = (), (*stem, *stages)
    return NetworkSpec(**(dict(network) | {"stem": stem, "stages": stages, **(update or {})}))


def _change_body(block: ResidualBlock, shape: Shape, change: BlockChange) -> tuple[Any, ...]:
    """The body of a residual with each of its single blocks changed."""
    merged: list[Any] = []
    for part in block.body:
        for unit in part.copies():
            merged += change(unit, shape)
            shape = unit.output_shape(shape)
    return merge_repeats(merged)


def _with_valid_shortcut(block: Any) -> Any:
    """The block with the shortcut `auto` if its shortcut pools but it has no stride left, as after merging copies."""
    alone = isinstance(block, ResidualBlock) and block.pools_nothing
    return _replace(block, {"shortcut": "auto"}) if alone else block


def _replace(block: Any, update: Mapping[str, Any]) -> Any:
    """The block with some values replaced, validated again."""
    return type(block)(**(dict(block) | dict(update)))


def _squeeze_excite(block: InvertedResidualBlock) -> tuple[SqueezeExciteBlock, ...]:
    return () if block.se is None else (SqueezeExciteBlock(ratio=block.se),)


def _projection(block: InvertedResidualBlock) -> ConvBlock:
    return ConvBlock(width=block.width, kernel=1, act="none")


def _group_count(groups: int, before: int, channels: int) -> int:
    """The groups of a convolution whose input changes from `before` to `channels` channels, with no larger groups."""
    return next(n for n in range(1, channels + 1) if channels % n == 0 and n * before >= channels * groups)


def _halve_depth(block: Any) -> Any:
    return _replace(block, {"depth": -(-block.depth // 2)}) if hasattr(block, "depth") else block


def _format_reason(error: ValidationError) -> str:
    """The first problem in a few words."""
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    if "path" in context:
        return f"{context['path']}: {context['message']}"
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
