"""What a spec costs, exactly and without torch: parameters, multiply-adds, activation memory, weight bytes.

One FLOP is one multiply-add. Counted are convolutions and linear layers, at batch 1 and the spec's input size; a test
holds every number here equal to the network that `network.build` makes of the same spec.

The peak of the activations is that of the deployed network, where norms and activations are part of the convolution
before them: each step needs its input, its output and whatever a later step still reads; the peak is the largest such
sum over the graph, in elements. It is a bound from tensor lifetimes, not the arena of one device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightcnn import spec
from lightcnn.budget import Cost
from lightcnn.spec import NetworkSpec, Shape


def cost(network: NetworkSpec) -> Cost:
    """The cost of a whole network."""
    meter = Meter(network.input)
    _walk(meter, network)
    return meter.total()


@dataclass(frozen=True)
class Layer:
    """One row of the table of layers: a step of the network, named like the module that does it."""

    name: str
    operator: str
    shape: Shape
    cost: Cost


def layers(network: NetworkSpec) -> tuple[Layer, ...]:
    """The cost of every step. Their sum (the peak: their maximum) is `cost(network)`."""
    tracer = _Tracer(network.input)
    _walk(tracer, network)
    return tuple(tracer.rows)


class Meter:
    """Running totals along a network: each method takes the current feature map through one step.

    Written for speed (a search costs thousands of specs): plain integers, no object per layer.
    """

    tracing = False

    def __init__(self, shape: Shape) -> None:
        self.channels, self.height, self.width = shape
        self.weights = self.biases = self.deployed_biases = self.norms = 0
        self.macs = self.norm_elements = self.fvcore_pool = self.thop_pool = 0
        self.held = self.pending = self.live = self.peak = 0

    def total(self) -> Cost:
        """The sum of all steps so far."""
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
        self._step(read, width * area)

    def linear(self, name: str, width: int) -> None:
        """A dense layer with bias on a pooled feature vector."""
        self.weights += width * self.channels
        self.macs += width * self.channels
        self.biases += width
        self.deployed_biases += width
        self._step(self.channels, width)
        self.channels = width

    def pool(self, name: str, op: str, height: int, width: int) -> None:
        """Max or average pooling to height × width. thop counts an average's outputs."""
        read = self.channels * self.height * self.width
        self.height, self.width = height, width
        written = self.channels * height * width
        if op == "avg":
            self.thop_pool += written
        self._step(read, written)

    def global_pool(self, name: str, op: str) -> None:
        """Pooling to 1×1. fvcore counts an average's inputs, thop its inputs and outputs."""
        read = self.channels * self.height * self.width
        if op == "avg":
            self.fvcore_pool += read
            self.thop_pool += read + self.channels
        self.height = self.width = 1
        self._step(read, self.channels)

    def combine(self, name: str, read: int) -> None:
        """An elementwise sum or product that reads `read` elements and writes the current feature map."""
        self._step(read, self.channels * self.height * self.width)

    def keep(self) -> int:
        """Holds the current feature map for a later reader; returns the elements that `release` must give back.

        The next step reads that map as its input, so it is held from the step after. Where it is held already the
        answer is 0: it is counted once.
        """
        if self.pending:
            return 0
        self.pending = self.channels * self.height * self.width
        return self.pending

    def release(self, kept: int) -> None:
        """Ends what `keep` began."""
        self.held -= kept

    def _step(self, read: int, written: int) -> None:
        self.live = live = read + written + self.held
        if live > self.peak:
            self.peak = live
        if self.pending:
            self.held += self.pending
            self.pending = 0


def idle_strides(network: NetworkSpec) -> int:
    """How many convolutions stride over a map of one pixel, where there is nothing left to halve."""
    meter = _Strides(network.input)
    _walk(meter, network)
    return meter.idle


class _Strides(Meter):
    """A meter that counts strides which halve nothing."""

    idle = 0

    def conv(self, name: str, width: int, kernel: int = 1, stride: int = 1, *args: Any, **kwargs: Any) -> None:
        self.idle += stride > 1 and self.height == self.width == 1
        super().conv(name, width, kernel, stride, *args, **kwargs)


class _Tracer(Meter):
    """A meter that also keeps a row for every step, as the difference of the totals around it."""

    tracing = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.rows: list[Layer] = []
        self.scope = ""

    def conv(self, name: str, width: int, *args: Any, **kwargs: Any) -> None:
        self._record(f"{name}.conv", "conv", super().conv, name, width, *args, **kwargs)

    def linear(self, name: str, width: int) -> None:
        self._record(name, "linear", super().linear, name, width)

    def pool(self, name: str, op: str, height: int, width: int) -> None:
        self._record(name, f"{op}pool", super().pool, name, op, height, width)

    def global_pool(self, name: str, op: str) -> None:
        self._record(name, f"global {op}pool", super().global_pool, name, op)

    def combine(self, name: str, read: int) -> None:
        self._record(name, name.rpartition(".")[2], super().combine, name, read)

    def _record(self, name: str, operator: str, step: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        before = self.total()
        step(*args, **kwargs)
        path = ".".join(part for part in (self.scope, name) if part)
        row = self.total().since(before, peak=self.live)
        self.rows.append(Layer(path.replace("..", "."), operator, (self.channels, self.height, self.width), row))


def _walk(meter: Meter, network: NetworkSpec) -> None:
    for part, blocks in (("stem", network.stem), ("stages", network.stages)):
        for index, block in enumerate(blocks):
            _repeat(meter, block, f"{part}.{index}" if meter.tracing else "")
    if meter.tracing:
        meter.scope = "head"  # type: ignore[attr-defined]
    meter.global_pool("pool", network.head.pool)
    for index, width in enumerate(network.head.hidden):
        meter.linear(f"hidden.{index}", width)
    meter.linear("classifier", network.logits)


def _repeat(meter: Meter, block: Any, path: str) -> None:
    """All copies of a block; the first with its stride."""
    walk = _BLOCKS[block.kind]
    outer = meter.scope if meter.tracing else ""  # type: ignore[attr-defined]
    for copy in range(getattr(block, "depth", 1)):
        if meter.tracing:
            meter.scope = f"{outer}.{path}.{copy}" if outer else f"{path}.{copy}"  # type: ignore[attr-defined]
        walk(meter, block, copy == 0)
    if meter.tracing:
        meter.scope = outer  # type: ignore[attr-defined]


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
        meter.combine("sum", channels * meter.height * meter.width + kept)


def _se(meter: Meter, block: spec.SqueezeExciteBlock, first: bool) -> None:
    _excite(meter, block.ratio, "")


def _excite(meter: Meter, ratio: float, prefix: str) -> None:
    """Pool, reduce, expand, scale; the gated map is held meanwhile."""
    channels, height, width = meter.channels, meter.height, meter.width
    kept = meter.keep()
    meter.global_pool(prefix + "pool", "avg")
    meter.conv(prefix + "reduce", spec.hidden_width(ratio, channels), norm=False, bias=True)
    meter.conv(prefix + "expand", channels, norm=False, bias=True)
    meter.release(kept)
    meter.height, meter.width = height, width
    meter.combine(prefix + "scale", kept + channels)


def _pool(meter: Meter, block: spec.PoolBlock, first: bool) -> None:
    pad = block.kernel // 3
    height, width = ((n + 2 * pad - block.kernel) // block.stride + 1 for n in (meter.height, meter.width))
    meter.pool("", block.op, height, width)


def _residual(meter: Meter, block: spec.ResidualBlock, first: bool) -> None:
    before = (meter.channels, meter.height, meter.width)
    kept = meter.keep()
    for index, part in enumerate(block.body):
        _repeat(meter, part if first else part.unstrided(), f"body.{index}" if meter.tracing else "")
    after = (meter.channels, meter.height, meter.width)
    size = after[0] * after[1] * after[2]
    stride = block.body_stride if first else 1
    kind = block.shortcut_kind(stride, before, after)
    meter.release(kept)
    if kind != "identity":
        meter.held += size
        meter.channels, meter.height, meter.width = before
        if kind in spec.POOLED:
            meter.pool("shortcut.pool", kind.removesuffix("pool"), *after[1:])
            stride = 1
        meter.conv("shortcut.project", after[0], stride=stride, norm=block.norm, bias=block.has_bias)
        meter.held -= size
        kept = size
    meter.combine("sum", size + kept)


_BLOCKS: dict[str, Callable[[Meter, Any, bool], None]] = {
    "conv": _conv,
    "separable": _separable,
    "mbconv": _mbconv,
    "se": _se,
    "pool": _pool,
    "residual": _residual,
}
