"""Counts the graph of an ONNX file by the same rules as a module: parameters, multiply-adds, memory, layers.

Parameters are the stored tensors that an operator learns: weights and biases of convolutions, matrix products and
norms, and tensors of more than one number that are added to or multiplied with an activation. What is computed from
stored tensors alone (dequantized int8 weights, shapes) is computed once when the file is loaded, and is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lightcnn.cost import FLOAT_BYTES
from lightcnn.counting.count import Count
from lightcnn.counting.layers import layer_rows
from lightcnn.counting.liveness import liveness, moved_bytes, peak
from lightcnn.counting.recorder import Call
from lightcnn.counting.sizes import keras_bytes
from lightcnn.counting.trace import Trace
from lightcnn.errors import InputError
from lightcnn.onnxfiles.macs import FREE, OMITTED, RULES
from lightcnn.onnxfiles.read import Graph, Node

NO_OTHER_COUNTERS = "fvcore, thop and torch's counter count modules of torch, not ONNX files"
PREPARES = "the file resizes and normalises images itself, and these operations are counted"
LEARNT_INPUTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "FusedConv", "ConvTranspose", "CausalConvWithState"), (1, 2)), "ConvInteger": (1,),
    "QLinearConv": (3, 8), "DeformConv": (1, 3), **dict.fromkeys(("Gemm", "FusedGemm", "GemmFastGelu"), (0, 1, 2)),
    "QGemm": (0, 3, 6), "QLinearMatMul": (0, 3), "DynamicQuantizeMatMul": (0, 1, 4), "MatMulIntegerToFloat": (0, 1, 6),
    **dict.fromkeys(("LSTM", "DynamicQuantizeLSTM"), (1, 2, 3, 7)), **dict.fromkeys(("GRU", "RNN"), (1, 2, 3)),
    **dict.fromkeys(("com.microsoft.Attention", "QAttention"), (1, 2)), "MultiHeadAttention": (3,),
    "PRelu": (1,), "Gather": (0,), **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization"), (1,)),
    "SkipLayerNormalization": (2, 3, 4), "SkipSimplifiedLayerNormalization": (2, 3), **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization"), (1, 2)
    ),
}  # fmt: skip
"""Operator → positions of its inputs that are learnt, if those are not the factors of its rule."""
STATISTIC_INPUTS = {"BatchNormalization": (3, 4)}
"""Operator → positions of its inputs that are statistics of the training data."""
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Concat")
"""Operators whose stored inputs count as learnt if they have more than one number."""
ACTIVATIONS = (
    "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Elu", "Selu", "Celu",
    "Softplus", "Softsign", "Mish", "Gelu", "Swish", "QuickGelu", "Exp", "Sqrt", "Reciprocal", "Neg", "Abs", "Add",
    "Sub", "Mul", "Div", "Pow", "Min", "Max", "BatchNormalization", "InstanceNormalization", "GroupNormalization",
    "LayerNormalization",
)  # fmt: skip
"""Operators that are computed in place of their only activation if that is not read again."""
VIEW_OPERATORS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
SIZED_BY_VALUES = ("NonZero", "NonMaxSuppression", "Compress", "Unique")
"""Operators whose result has a size that depends on values."""
SHAPE_OPERATORS = ("Shape", "Size")
"""Operators whose result is known once the size of the image is."""


def count_graph(graph: Graph) -> Count:
    """Counts a file for one image; other tools' counters cannot read ONNX and are None.

    Raises: InputError if an operator reads a tensor that the file neither stores nor computes.
    """
    reader = _GraphReader(graph)
    trace = reader.trace()
    top, params = peak(liveness(trace)), reader.size(reader.learnt)
    with_statistics = params + reader.size(reader.statistics)
    matrices = reader.size(reader.matrices)
    return Count(
        params=params, params_with_buffers=with_statistics, params_deployed=params,
        macs=trace.macs, macs_as_given=trace.macs, fvcore=None, thop=None, torch=None,
        weight_bytes={"fp32": FLOAT_BYTES * params, "int8": matrices + FLOAT_BYTES * (params - matrices)},
        file_bytes=graph.file_bytes, keras_adam_bytes=keras_bytes(params, with_statistics),
        peak_activations=top.elements, peak_activation_bytes=top.bytes,
        moved_bytes=moved_bytes(trace) + reader.bytes(reader.learnt),
        differences=(), uncounted=trace.uncounted, unknown=trace.unknown,
        unfolded=tuple(node.name for node in graph.nodes if node.operator in STATISTIC_INPUTS),
        layers=layer_rows(trace, {node.name: node.operator for node in graph.nodes}, reader.params),
        notes=(*trace.notes(), *reader.notes(), *([PREPARES] if graph.metadata else []), NO_OTHER_COUNTERS), pairs=(),
    )  # fmt: skip


class _GraphReader:
    """Walks through a graph once: activations get buffer numbers; tensors that depend on no image keep their roots,
    the stored tensors that they are computed from."""

    def __init__(self, graph: Graph) -> None:
        self.params: Counter[str] = Counter()  # of each node: those that it is the first to read
        self.learnt: set[str] = set()
        self.matrices: set[str] = set()
        self.statistics: set[str] = set()
        self.unknown: dict[str, None] = {}  # operators that may learn from stored tensors
        self._graph = graph
        self._roots = {name: frozenset([name]) for name in graph.stored}
        self._numbers: dict[str, int] = {}
        self._buffers: list[tuple[int, int]] = []
        self._new(graph.image)

    def trace(self) -> Trace:
        """The trace of one inference, in the order of the file."""
        calls = [call for node in self._graph.nodes if (call := self._call(node))]
        outputs = frozenset(self._number(name) for name in self._graph.outputs if name not in self._roots)
        return Trace(tuple(calls), tuple(self._buffers), outputs)

    def notes(self) -> list[str]:
        """One sentence per operator whose stored tensors are not counted."""
        return [f"the stored tensors of {operator} are not counted as parameters" for operator in self.unknown]

    def size(self, names: Iterable[str]) -> int:
        """Number of elements of these tensors together."""
        return sum(self._graph.values[name].elements for name in names)

    def bytes(self, names: Iterable[str]) -> int:
        """Bytes of these tensors together, as they are stored."""
        return sum(self._graph.values[name].elements * self._graph.values[name].itemsize for name in names)

    def _call(self, node: Node) -> Call | None:
        inputs = [name for name in node.inputs if name]
        if node.operator in SHAPE_OPERATORS or all(name in self._roots for name in inputs):
            # Except for elementwise operators, the first input is the tensor and the others are parameters of the call.
            roots = self._stored(inputs if node.operator in ELEMENTWISE else inputs[:1])
            self._roots |= {name: roots for name in node.outputs if name not in self._roots}
            return None
        if node.operator in SIZED_BY_VALUES:
            raise InputError(
                f"has {node.operator} {node.name!r}, whose result has a size that depends on the values in its image, "
                "so its cost is not one number"
            )
        reads = tuple(dict.fromkeys(self._number(name) for name in inputs if name not in self._roots))
        view = node.operator in VIEW_OPERATORS and inputs[0] in self._numbers
        if view:
            self._numbers[node.outputs[0]] = self._numbers[inputs[0]]
        writes = [self._numbers[name] if name in self._numbers else self._new(name) for name in node.outputs]
        return Call(
            module=node.name, operator=node.operator, macs=self._macs(node),
            shape=self._graph.values[node.outputs[0]].shape[1:], reads=reads, writes=tuple(writes),
            weights=self._weights(node), fusable=node.operator in ACTIVATIONS, view=view,
            free=node.operator in FREE,
        )  # fmt: skip

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            raise InputError(f"reads {name!r}, which is not a tensor of numbers that the file stores or computes")
        return self._numbers[name]

    def _new(self, name: str) -> int:
        value = self._graph.values[name]
        self._numbers[name] = len(self._buffers)
        self._buffers.append((value.elements, value.elements * value.itemsize))
        return self._numbers[name]

    def _weights(self, node: Node) -> tuple[str, ...]:
        """The learnt tensors that the node reads; each counts for the first node that reads it."""
        every, operator = range(len(node.inputs)), node.operator
        places = every if operator in ELEMENTWISE else LEARNT_INPUTS.get(operator, _factors(operator))
        learnt, stored = set(self._at(node, places)), self._at(node, every)
        if node.operator in ELEMENTWISE:
            learnt = {name for name in learnt if self._graph.values[name].elements > 1}
        if node.operator not in (*FREE, *RULES) and any(self._graph.values[name].elements > 1 for name in stored):
            self.unknown[node.operator] = None
        self.params[node.name] += self.size(learnt - self.learnt)
        self.learnt |= learnt
        self.matrices |= learnt & self._at(node, _factors(node.operator))
        self.statistics |= self._at(node, STATISTIC_INPUTS.get(node.operator, ()))
        return tuple(sorted(learnt))

    def _at(self, node: Node, places: Iterable[int]) -> frozenset[str]:
        """The stored tensors that the inputs of a node at these positions are computed from."""
        return self._stored(node.inputs[place] for place in places if place < len(node.inputs))

    def _stored(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset().union(*(self._roots.get(name, frozenset()) for name in names))

    def _macs(self, node: Node) -> int | None:
        """Multiply-adds for one image; None for an operator that is not counted."""
        if node.operator not in RULES:
            return None
        sizes = [self._graph.values[name].shape if name else OMITTED for name in node.inputs]
        return RULES[node.operator].macs(node.attributes, sizes, self._graph.values[node.outputs[0]].shape)


def _factors(operator: str) -> tuple[int, ...]:
    """The positions of the inputs that a counted operator multiplies."""
    return RULES[operator].factors if operator in RULES else ()
