"""What a spec costs, exactly and without torch: parameters, multiply-adds, activation memory, weight bytes.

One FLOP is one multiply-add. Convolutions and linear layers are counted, with batch size 1 and the spec's input size. A
test checks that every number equals that of the network which `network.build` builds from the same spec.

The peak of the activations is that of the deployed network, where norms and activations are part of the preceding
convolution: each step needs its input, its output, and everything that a later step still reads. The peak is the
largest such sum, in elements. It is a bound from the lifetimes of tensors, not the arena of a particular device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lightcnn import spec
from lightcnn.budget import Cost
from lightcnn.spec import NetworkSpec, Shape

FLOAT_BYTES = 4
"""Bytes of a number in fp32."""


def cost(network: NetworkSpec) -> Cost:
    """The cost of a network, computed from its spec.

    Args:
        network: The spec.

    Returns:
        Parameters, multiply-adds, peak of the activations, and weight bytes.

    Example:
        >>> from lightcnn import Recipe
        >>> from lightcnn.cost import cost
        >>> cost(Recipe.load("quick").network).params
        21876
    """
    meter = Meter(network.input)
    _walk(meter, network)
    return meter.total()


@dataclass(frozen=True)
class Layer:
    """One row of the table of layers: a step of the network, named like the module that computes it."""

    name: str
    operator: str
    shape: Shape
    cost: Cost


def measure(blocks: Iterable[Any], shape: Shape) -> Meter:
    """A meter that went through consecutive blocks, from an input of that shape."""
    meter = Meter(shape)
    for block in blocks:
        _repeat(meter, block, "")
    return meter


def measure_head(network: NetworkSpec, shape: Shape) -> Meter:
    """A meter that went through a network's head, from a feature map of that shape."""
    meter = Meter(shape)
    _head(meter, network)
    return meter


def layer_extremes(network: NetworkSpec) -> tuple[int, int]:
    """The fewest output channels of a convolution, and the multiply-adds of the largest layer.

    Depthwise convolutions, which keep their channels, and squeezes, which are narrow by design, do not count as narrow.
    """
    meter = _Extremes(network.input)
    _walk(meter, network)
    return meter.narrowest, meter.largest


def layers(network: NetworkSpec) -> tuple[Layer, ...]:
    """The cost of every step. Their sum is `cost(network)`; its peak is their maximum."""
    tracer = _Tracer(network.input)
    _walk(tracer, network)
    return tuple(tracer.rows)


def idle_strides(network: NetworkSpec) -> int:
    """The number of strided convolutions whose input is a single pixel, where the stride has no effect."""
    meter = Meter(network.input)
    _walk(meter, network)
    return meter.idle_strides


class Meter:
    """Running totals along a network: each method applies one step to the current feature map.

    It is written for speed, because a search computes the cost of thousands of specs: plain integers, and no object per
    layer. `scope` is the name of the current module, if `tracing`.
    """

    tracing = False
    scope = ""

    def __init__(self, shape: Shape) -> None:
        self.channels, self.height, self.width = shape
        self.weights = self.biases = self.deployed_biases = self.norms = 0
        self.macs = self.norm_elements = self.fvcore_pool = self.thop_pool = 0
        self.stored = self.pending = self.live = self.peak = self.idle_strides = 0

    @property
    def shape(self) -> Shape:
        """The shape of the current feature map."""
        return self.channels, self.height, self.width

    def add(self, part: Meter) -> None:
        """Adds the totals of a meter that began where this one is: of the next part of the same network."""
        self.channels, self.height, self.width = part.channels, part.height, part.width
        self.weights += part.weights
        self.biases += part.biases
        self.deployed_biases += part.deployed_biases
        self.norms += part.norms
        self.macs += part.macs
        self.norm_elements += part.norm_elements
        self.fvcore_pool += part.fvcore_pool
        self.thop_pool += part.thop_pool
        self.peak = max(self.peak, part.peak)
        self.idle_strides += part.idle_strides

    def total(self) -> Cost:
        """The sum of the steps so far."""
        params = self.weights + self.biases + 2 * self.norms
        deployed = self.weights + self.deployed_biases
        return Cost(
            params=params,
            params_with_buffers=params + 2 * self.norms,
            params_deployed=deployed,
            macs=self.macs,
            fvcore=self.macs + self.fvcore_pool,
            thop=self.macs + self.thop_pool,
            norm_elements=self.norm_elements,
            peak_activations=self.peak,
            weight_bytes_fp32=4 * deployed,
            weight_bytes_int8=self.weights + 4 * self.deployed_biases,
        )

    def conv(
        self,
        name: str,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        bias: bool = False,
    ) -> None:
        """A convolution padded by kernel // 2, with its norm and activation."""
        channels = self.channels
        read = channels * self.height * self.width
        if stride != 1:
            self.idle_strides += self.height == self.width == 1
            self.height = -(-self.height // stride)
            self.width = -(-self.width // stride)
        area = self.height * self.width
        weights = width * (channels // groups) * kernel * kernel
        self.channels = width
        self.weights += weights
        self.macs += weights * area
        if norm:
            self.norms += width
            self.norm_elements += width * area
        if bias:
            self.biases += width
        if norm or bias:
            self.deployed_biases += width
        self._step(name, "conv", read, width * area)

    def linear(self, name: str, width: int) -> None:
        """A dense layer with a bias on a pooled feature vector."""
        channels, self.channels = self.channels, width
        self.weights += width * channels
        self.macs += width * channels
        self.biases += width
        self.deployed_biases += width
        self._step(name, "linear", channels, width)

    def pool(self, name: str, op: str, height: int, width: int) -> None:
        """Max or average pooling to height × width. thop counts the outputs of average pooling."""
        read = self.channels * self.height * self.width
        self.height, self.width = height, width
        written = self.channels * height * width
        if op == "avg":
            self.thop_pool += written
        self._step(name, f"{op}pool", read, written)

    def global_pool(self, name: str, op: str) -> None:
        """Pooling to 1×1. fvcore counts the inputs of average pooling, thop its inputs and outputs."""
        read = self.channels * self.height * self.width
        if op == "avg":
            self.fvcore_pool += read
            self.thop_pool += read + self.channels
        self.height = self.width = 1
        self._step(name, f"global {op}pool", read, self.channels)

    def combine(self, name: str, operator: str, read: int) -> None:
        """An elementwise sum or scale that reads `read` elements and writes the current feature map."""
        self._step(name, operator, read, self.channels * self.height * self.width)

    def keep(self) -> int:
        """Stores the current feature map for a later step. Returns the number of elements that `release` must free.

        The next step reads the map as its input, so it counts as stored from the step after that. If it is stored
        already, it is not counted again and the result is 0.
        """
        if self.pending:
            return 0
        self.pending = self.channels * self.height * self.width
        return self.pending

    def release(self, kept: int) -> None:
        """Frees the elements that `keep` stored."""
        self.stored -= kept

    def _step(self, name: str, operator: str, read: int, written: int) -> None:
        self.live = live = read + written + self.stored
        if live > self.peak:
            self.peak = live
        if self.pending:
            self.stored += self.pending
            self.pending = 0


class _Tracer(Meter):
    """A meter that also records a row for every step, as the difference of the totals before and after it."""

    tracing = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.rows: list[Layer] = []
        self._total_before = Cost()

    def _step(self, name: str, operator: str, read: int, written: int) -> None:
        super()._step(name, operator, read, written)
        total = self.total()
        parts = (self.scope, name, "conv" if operator == "conv" else "")
        path = ".".join(part for part in parts if part).replace("..", ".")
        cost = total.since(self._total_before, peak=self.live)
        self.rows.append(Layer(path, operator, (self.channels, self.height, self.width), cost))
        self._total_before = total


class _Extremes(Meter):
    """A meter that also notes the narrowest convolution and the largest layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.narrowest, self.largest, self._macs_before = sys.maxsize, 0, 0

    def _step(self, name: str, operator: str, read: int, written: int) -> None:
        super()._step(name, operator, read, written)
        self.largest = max(self.largest, self.macs - self._macs_before)
        self._macs_before = self.macs
        if operator == "conv" and not name.endswith(("depthwise", "reduce")):
            self.narrowest = min(self.narrowest, self.channels)


def _walk(meter: Meter, network: NetworkSpec) -> None:
    for part, blocks in (("stem", network.stem), ("stages", network.stages)):
        for index, block in enumerate(blocks):
            _repeat(meter, block, f"{part}.{index}" if meter.tracing else "")
    _head(meter, network)


def _head(meter: Meter, network: NetworkSpec) -> None:
    if meter.tracing:
        meter.scope = "head"
    meter.global_pool("pool", network.head.pool)
    for index, width in enumerate(network.head.hidden):
        meter.linear(f"hidden.{index}", width)
    meter.linear("classifier", network.logits)


def _repeat(meter: Meter, block: Any, path: str, strided: bool = True) -> None:
    """All copies of a block; the first has its stride if `strided`."""
    kind, outer = block.kind, meter.scope
    for copy in range(1 if kind in _WITHOUT_DEPTH else block.depth):
        if meter.tracing:
            meter.scope = f"{outer}.{path}.{copy}" if outer else f"{path}.{copy}"
        _BLOCKS[kind](meter, block, strided and copy == 0)
    meter.scope = outer


def _conv(meter: Meter, block: spec.ConvBlock, first: bool) -> None:
    stride = block.stride if first else 1
    meter.conv("", block.width, block.kernel, stride, block.groups, block.norm, block.has_bias)


def _separable(meter: Meter, block: spec.SeparableBlock, first: bool) -> None:
    stride = block.stride if first else 1
    norm = block.norm
    meter.conv("depthwise", meter.channels, block.kernel, stride, meter.channels, norm and block.inner)
    meter.conv("pointwise", block.width, norm=norm, bias=block.has_bias)


def _mbconv(meter: Meter, block: spec.InvertedResidualBlock, first: bool) -> None:
    stride = block.stride if first else 1
    channels = meter.channels
    skip = stride == 1 and block.width == channels
    kept = meter.keep() if skip else 0
    hidden = spec.hidden_width(block.expand, channels)
    if block.expand != 1:
        meter.conv("expand", hidden)
    meter.conv("depthwise", hidden, block.kernel, stride, hidden)
    if block.se is not None:
        _excite(meter, block.se, "se.")
    meter.conv("project", block.width)
    if skip:
        meter.release(kept)
        meter.combine("sum", "sum", channels * meter.height * meter.width + kept)


def _se(meter: Meter, block: spec.SqueezeExciteBlock, first: bool) -> None:
    _excite(meter, block.ratio, "")


def _excite(meter: Meter, ratio: float, prefix: str) -> None:
    """Pool, reduce, expand, scale; the gated feature map is stored meanwhile."""
    channels, height, width = meter.channels, meter.height, meter.width
    kept = meter.keep()
    meter.global_pool(prefix + "pool", "avg")
    meter.conv(prefix + "reduce", spec.hidden_width(ratio, channels), norm=False, bias=True)
    meter.conv(prefix + "expand", channels, norm=False, bias=True)
    meter.release(kept)
    meter.height, meter.width = height, width
    meter.combine(prefix + "scale", "scale", kept + channels)


def _pool(meter: Meter, block: spec.PoolBlock, first: bool) -> None:
    stride = block.stride if first else 1
    reach = 2 * (block.kernel // 3) - block.kernel
    height, width = (meter.height + reach) // stride + 1, (meter.width + reach) // stride + 1
    meter.pool("", block.op, height, width)


def _residual(meter: Meter, block: spec.ResidualBlock, first: bool) -> None:
    before = (meter.channels, meter.height, meter.width)
    kept = meter.keep()
    for index, part in enumerate(block.body):
        _repeat(meter, part, f"body.{index}" if meter.tracing else "", first)
    after = (meter.channels, meter.height, meter.width)
    size = after[0] * after[1] * after[2]
    stride = block.body_stride if first else 1
    kind = block.shortcut_kind(stride, before, after)
    meter.release(kept)
    if kind != "identity":
        meter.stored += size
        meter.channels, meter.height, meter.width = before
        if kind in spec.POOLED:
            meter.pool("shortcut.pool", kind.removesuffix("pool"), *after[1:])
            stride = 1
        meter.conv("shortcut.project", after[0], stride=stride, norm=block.norm, bias=block.has_bias)
        meter.stored -= size
        kept = size
    meter.combine("sum", "sum", size + kept)


_WITHOUT_DEPTH = ("se", "pool")
"""Kinds of block that are never repeated."""
_BLOCKS: dict[str, Callable[[Meter, Any, bool], None]] = {
    "conv": _conv,
    "separable": _separable,
    "mbconv": _mbconv,
    "se": _se,
    "pool": _pool,
    "residual": _residual,
}
