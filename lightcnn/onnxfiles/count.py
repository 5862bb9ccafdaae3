"""The graph of an ONNX file, counted by the same rules as a module: parameters, multiply-adds, memory, layers.

Parameters are what the file stores and an operator learns: weights and biases of convolutions, products and norms, and
what is added to or multiplied with an activation, where that is more than one number. What is computed of stored
tensors alone (weights in int8 that are spread out, shapes) is done once when the file is loaded, and not counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from lightcnn.counting.count import Count
from lightcnn.counting.layers import layer_rows
from lightcnn.counting.liveness import liveness, moved_bytes, peak
from lightcnn.counting.sizes import FLOAT_BYTES, keras_bytes
from lightcnn.counting.trace import Call, Trace
from lightcnn.errors import InputError
from lightcnn.onnxfiles.read import Graph, Node

NO_OTHER_COUNTERS = "fvcore, thop and torch's counter count modules of torch, and not ONNX files"
LEARNT_INPUTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "FusedConv", "ConvTranspose"), (1, 2)), "ConvInteger": (1,), "QLinearConv": (3, 8),
    "Gemm": (0, 1, 2), "QGemm": (0, 3, 6), **dict.fromkeys(("MatMul", "FusedMatMul", "MatMulInteger"), (0, 1)),
    "QLinearMatMul": (0, 3), "PRelu": (1,), "Gather": (0,), **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2, 3)),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization"), (1, 2)
    ),
}  # fmt: skip
"""Which inputs of an operator are learnt."""
STATISTIC_INPUTS = {"BatchNormalization": (3, 4)}
FACTOR_INPUTS = {
    **dict.fromkeys(("Conv", "FusedConv", "ConvTranspose", "ConvInteger"), (0, 1)), "QLinearConv": (0, 3),
    **dict.fromkeys(("Gemm", "MatMul", "FusedMatMul", "MatMulInteger"), (0, 1)),
    **dict.fromkeys(("QGemm", "QLinearMatMul"), (0, 3)),
}  # fmt: skip
"""The two inputs that a counted operator multiplies; a convolution's second is its weight (out, in / groups, ...)."""
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Concat")
"""Operators whose stored inputs are learnt where they are more than one number."""
ACTIVATIONS = (
    "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Elu", "Selu", "Celu",
    "Softplus", "Softsign", "Mish", "Gelu", "Swish", "QuickGelu", "Exp", "Sqrt", "Reciprocal", "Neg", "Abs", "Add",
    "Sub", "Mul", "Div", "Pow", "Min", "Max", "BatchNormalization", "InstanceNormalization", "GroupNormalization",
    "LayerNormalization",
)  # fmt: skip
"""What is done in place of its one activation, where nobody reads that again."""
VIEW_OPERATORS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
SHAPE_OPERATORS = ("Shape", "Size")
"""What they give is known once the size of the image is."""


def count_graph(graph: Graph) -> Count:
    """Counts a file for one image. Other tools' counters do not read ONNX and are None. Raises: InputError."""
    read = _Reader(graph)
    trace = read.trace()
    top, params = peak(liveness(trace)), read.size(read.learnt)
    with_statistics = params + read.size(read.statistics)
    matrices = read.size(read.matrices)
    return Count(
        params=params, params_with_buffers=with_statistics, params_deployed=params,
        macs=trace.macs, macs_as_given=trace.macs, fvcore=None, thop=None, torch=None,
        weight_bytes={"fp32": FLOAT_BYTES * params, "int8": matrices + FLOAT_BYTES * (params - matrices)},
        file_bytes=graph.file_bytes, keras_adam_bytes=keras_bytes(params, with_statistics),
        peak_activations=top.elements, peak_activation_bytes=top.bytes,
        moved_bytes=moved_bytes(trace) + read.bytes(read.learnt),
        differences=(), uncounted=trace.uncounted,
        unfolded=tuple(node.name for node in graph.nodes if node.operator in STATISTIC_INPUTS),
        layers=layer_rows(trace, {node.name: node.operator for node in graph.nodes}, read.params),
        notes=(NO_OTHER_COUNTERS,), pairs=(),
    )  # fmt: skip


class _Reader:
    """Goes through a graph once: activations get numbers of buffers, what depends on no image its stored tensors."""

    def __init__(self, graph: Graph) -> None:
        self.params: Counter[str] = Counter()  # by node: of those that it is the first to read
        self.learnt: set[str] = set()
        self.matrices: set[str] = set()
        self.statistics: set[str] = set()
        self._graph = graph
        self._roots = {name: frozenset([name]) for name in graph.stored}
        self._numbers: dict[str, int] = {}
        self._buffers: list[tuple[int, int]] = []
        self._new(graph.image)

    def trace(self) -> Trace:
        """One inference, in the order of the file."""
        calls = [call for node in self._graph.nodes if (call := self._call(node))]
        outputs = frozenset(self._number(name) for name in self._graph.outputs if name not in self._roots)
        return Trace(tuple(calls), tuple(self._buffers), outputs)

    def size(self, names: Iterable[str]) -> int:
        """Elements of these tensors together."""
        return sum(self._graph.values[name].elements for name in names)

    def bytes(self, names: Iterable[str]) -> int:
        """Of these tensors together, as they are stored."""
        return sum(self._graph.values[name].elements * self._graph.values[name].itemsize for name in names)

    def _call(self, node: Node) -> Call | None:
        given = [name for name in node.inputs if name]
        if node.operator in SHAPE_OPERATORS or all(name in self._roots for name in given):
            # Of all others the first input is the tensor, and the rest says what to do with it.
            found = self._stored(given if node.operator in ELEMENTWISE else given[:1])
            self._roots |= {name: found for name in node.outputs if name not in self._roots}
            return None
        reads = tuple(dict.fromkeys(self._number(name) for name in given if name not in self._roots))
        view = node.operator in VIEW_OPERATORS and given[0] in self._numbers
        if view:
            self._numbers[node.outputs[0]] = self._numbers[given[0]]
        writes = [self._numbers[name] if name in self._numbers else self._new(name) for name in node.outputs]
        return Call(
            module=node.name, operator=node.operator, macs=self._macs(node),
            shape=self._graph.values[node.outputs[0]].shape[1:], reads=reads, writes=tuple(writes),
            weights=self._weights(node), fusable=node.operator in ACTIVATIONS, view=view,
        )  # fmt: skip

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            raise InputError(f"reads {name!r}, which is no tensor of numbers that it holds or computes")
        return self._numbers[name]

    def _new(self, name: str) -> int:
        value = self._graph.values[name]
        self._numbers[name] = len(self._buffers)
        self._buffers.append((value.elements, value.elements * value.itemsize))
        return self._numbers[name]

    def _weights(self, node: Node) -> tuple[str, ...]:
        """What the node learns; noted with the first that reads it."""
        places = range(len(node.inputs)) if node.operator in ELEMENTWISE else LEARNT_INPUTS.get(node.operator, ())
        found = set(self._at(node, places))
        if node.operator in ELEMENTWISE:
            found = {name for name in found if self._graph.values[name].elements > 1}
        self.params[node.name] += self.size(found - self.learnt)
        self.learnt |= found
        self.matrices |= found & self._at(node, FACTOR_INPUTS.get(node.operator, ()))
        self.statistics |= self._at(node, STATISTIC_INPUTS.get(node.operator, ()))
        return tuple(sorted(found))

    def _at(self, node: Node, places: Iterable[int]) -> frozenset[str]:
        """The stored tensors behind some inputs of a node."""
        return self._stored(node.inputs[place] for place in places if place < len(node.inputs))

    def _stored(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset().union(*(self._roots.get(name, frozenset()) for name in names))

    def _macs(self, node: Node) -> int | None:
        """Multiply-adds of one image; None for an operator that is not counted."""
        if node.operator not in FACTOR_INPUTS:
            return None
        one, other = (self._graph.values[node.inputs[place]] for place in FACTOR_INPUTS[node.operator])
        out = self._graph.values[node.outputs[0]]
        if "Conv" in node.operator:
            return (one if node.operator == "ConvTranspose" else out).elements * math.prod(other.shape[1:])
        return out.elements * one.shape[-2 if node.attributes.get("transA") else -1]
