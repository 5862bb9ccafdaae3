"""Completes the ONNX file of a network: pixels of any size in, probabilities and features out, and facts as metadata.

The resize is written as two matrix products, since ONNX's `Resize` rounds otherwise than PyTorch: it differed by one
grey level in 1.5 % of the pixels of noise enlarged from 16×16 to 28×28, the products in none. Without `exclude_outside`
it differed by up to 14 levels. The products take 0.02 ms for 28×28 pixels, and 1.5 ms instead of 0.5 for 256×341×3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import LightcnnError
from lightcnn.exported_metadata import FEATURES, INPUT_NAME, PROBABILITIES, ExportedMetadata
from lightcnn.inference import MAX_DENSE_FEATURES
from lightcnn.text import first_line
from lightcnn.version import __version__

PIXELS, NORMALISED = "preprocessing/pixels", "preprocessing/normalised"
"""Names of the resized pixels, float32 (N, C, size, size), whole numbers from 0 to 255; and of the network's input."""


class _Nodes:
    """Operators and constants whose names begin with `prefix`, in the order in which they were added."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: dict[Any, Any] = {}

    def add(self, operator: str, *inputs: str | NDArray[Any], output: str = "", **attributes: Any) -> str:
        """Adds an operator; arrays become constants. Returns the name of its output."""
        import onnx

        name = output or f"{self.prefix}/{operator}_{len(self.nodes)}"
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        self.nodes.append(onnx.helper.make_node(operator, names, [name], **attributes))
        return name

    def _constant(self, values: NDArray[Any]) -> str:
        import onnx

        key = (values.dtype.str, values.shape, values.tobytes())
        name = f"{self.prefix}/constant_{len(self.constants)}"
        tensor = self.constants.setdefault(key, onnx.numpy_helper.from_array(values, name))
        return str(tensor.name)


def assemble(network: bytes, metadata: ExportedMetadata) -> bytes:
    """The file of a network, with preprocessing, softmax and metadata: `image` uint8 (N, H, W, C) → `probabilities`.

    `network` maps normalised images (N, C, size, size) to logits, and to dense features as its second output, if any.
    If the run has a score of unlikeness, `features` (N, features) is the second output of the file: the numbers that
    `inference.evaluate` computes.

    Raises: LightcnnError if the file is not valid ONNX.
    """
    import onnx

    proto = onnx.load_model_from_string(network)
    before, after = _Nodes("preprocessing"), _Nodes("postprocessing")
    _preprocess(before, metadata)
    for node in proto.graph.node:
        node.input[:] = [NORMALISED if name == proto.graph.input[0].name else name for name in node.input]
    logits, *dense = proto.graph.output
    outputs = {PROBABILITIES: len(metadata.labels)}
    _probabilities(after, logits.name, _width(logits), metadata.temperature)
    if metadata.preprocess["unlikeness"] is not None:
        outputs[FEATURES] = len(metadata.preprocess["unlikeness"]["deviation"])
        _features(after, {output.name: _width(output) for output in dense}, metadata.size)
    nodes = _needed([*before.nodes, *proto.graph.node, *after.nodes], outputs)
    used = {name for node in nodes for name in node.input}
    stored = [*before.constants.values(), *proto.graph.initializer, *after.constants.values()]
    graph = onnx.helper.make_graph(
        nodes,
        "lightcnn",
        [onnx.helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.UINT8, _input_shape(metadata))],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", n]) for name, n in outputs.items()],
        [tensor for tensor in stored if tensor.name in used],
    )
    complete = onnx.helper.make_model(
        graph, producer_name="lightcnn", producer_version=__version__, ir_version=proto.ir_version,
        opset_imports=[each for each in proto.opset_import if not each.domain],
    )  # fmt: skip
    onnx.helper.set_model_props(complete, metadata.properties())
    return _checked(complete)


def with_output(data: bytes, name: str) -> bytes:
    """The file with one more output, the inner tensor `name`, to look at it."""
    import onnx

    proto = onnx.load_model_from_string(data)
    proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(proto.SerializeToString())


def _input_shape(metadata: ExportedMetadata) -> list[str | int]:
    sides = ["H", "W"] if metadata.takes_any_size else [metadata.size] * 2
    return ["N", *sides, metadata.channels]


def _checked(proto: Any) -> bytes:
    """The bytes of a model. Raises: LightcnnError if the full check of ONNX refuses it."""
    import onnx

    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # the errors of the checker have no common base
        raise LightcnnError(f"cannot be written as ONNX: {first_line(error)}") from error
    return bytes(proto.SerializeToString(deterministic=True))


def _needed(nodes: Sequence[Any], outputs: Iterable[str]) -> list[Any]:
    """The operators that the outputs depend on, in order, without their names."""
    names, needed = set(outputs), []
    for node in reversed(nodes):
        if names & set(node.output):
            names |= set(node.input)
            node.name = ""
            needed.append(node)
    return needed[::-1]


def _width(output: Any) -> int:
    """The number of columns of an output (N, columns)."""
    return int(output.type.tensor_type.shape.dim[1].dim_value)


def _preprocess(nodes: _Nodes, metadata: ExportedMetadata) -> None:
    """From `image` to PIXELS and NORMALISED, as `data.tensors` computes them."""
    import onnx

    image, rules = INPUT_NAME, metadata.preprocess
    if metadata.takes_any_size and rules["fit"] != "stretch":
        image = _square(nodes, image, rules["fit"])
    planes = nodes.add("Transpose", image, perm=[0, 3, 1, 2])
    if metadata.takes_any_size:
        values = nodes.add("Cast", planes, to=onnx.TensorProto.FLOAT)
        rows, columns = (_resizing_matrix(nodes, values, axis, metadata.size) for axis in (2, 3))
        # PyTorch resizes rows first, too, so that even sums that end in one half are rounded alike.
        narrow = nodes.add("MatMul", values, nodes.add("Transpose", columns, perm=[1, 0]))
        nodes.add("Round", nodes.add("MatMul", rows, narrow), output=PIXELS)
    else:
        nodes.add("Cast", planes, output=PIXELS, to=onnx.TensorProto.FLOAT)
    mean, deviation = (
        np.array(rules[name], np.float32).reshape(1, -1, 1, 1) * np.float32(255) for name in ("mean", "deviation")
    )
    nodes.add("Div", nodes.add("Sub", PIXELS, mean), deviation, output=NORMALISED)


def _square(nodes: _Nodes, image: str, fit: str) -> str:
    """The middle square of images (N, H, W, C), or squares with black bars, as `preprocess.to_square` makes them."""
    height, width = (nodes.add("Shape", image, start=axis, end=axis + 1) for axis in (1, 2))
    side = nodes.add("Min" if fit == "crop" else "Max", height, width)
    pairs = [(side, height), (side, width)] if fit == "pad" else [(height, side), (width, side)]
    differences = [nodes.add("Sub", *pair) for pair in pairs]
    starts = [nodes.add("Div", difference, np.array([2])) for difference in differences]
    if fit == "crop":
        ends = [nodes.add("Add", start, side) for start in starts]
        axes = np.array([1, 2])
        return nodes.add("Slice", image, nodes.add("Concat", *starts, axis=0), nodes.add("Concat", *ends, axis=0), axes)
    zero = np.array([0])
    ends = [nodes.add("Sub", *pair) for pair in zip(differences, starts, strict=True)]
    pads = nodes.add("Concat", zero, *starts, zero, zero, *ends, zero, axis=0)
    return nodes.add("Pad", image, pads, np.array(0, np.uint8))


def _resizing_matrix(nodes: _Nodes, values: str, axis: int, size: int) -> str:
    """The weights (size, n) of an antialiased bilinear resize of one axis with n elements, as PyTorch computes them.

    Output i is a mean of the elements j around c = (i + 1/2) n / size, weighted by 1 - |j + 1/2 - c| / max(n / size, 1)
    or by 0.
    """
    import onnx

    unit, half = np.array(1, np.float32), np.array(0.5, np.float32)
    length = nodes.add("Squeeze", nodes.add("Shape", values, start=axis, end=axis + 1))
    count = nodes.add("Cast", length, to=onnx.TensorProto.FLOAT)
    scale = nodes.add("Div", count, np.array(size, np.float32))
    centres = nodes.add("Mul", np.arange(size, dtype=np.float32)[:, None] + half, scale)
    distances = nodes.add("Abs", nodes.add("Sub", nodes.add("Range", half, count, unit), centres))
    triangle = nodes.add("Sub", unit, nodes.add("Div", distances, nodes.add("Max", scale, unit)))
    weights = nodes.add("Relu", triangle)
    return nodes.add("Div", weights, nodes.add("ReduceSum", weights, np.array([1])))


def _probabilities(nodes: _Nodes, logits: str, width: int, temperature: float) -> None:
    """Softmax of the logits divided by the temperature; the single logit of a sigmoid head gives two columns."""
    if temperature != 1:
        logits = nodes.add("Div", logits, np.array(temperature, np.float32))
    if width == 1:
        both = nodes.add("Concat", nodes.add("Neg", logits), logits, axis=1)
        nodes.add("Sigmoid", both, output=PROBABILITIES)
    else:
        nodes.add("Softmax", logits, output=PROBABILITIES, axis=1)


def _features(nodes: _Nodes, dense: Mapping[str, int], size: int) -> None:
    """The features of `inference.evaluate`: dense features, averaged in groups, and statistics of the pixels."""
    parts = [_grouped(nodes, name, width) for name, width in dense.items()]
    scaled = nodes.add("Div", PIXELS, np.array(255, np.float32))
    area = np.array(size * size, np.float32)
    for axis in (2, 3):
        low, high = (
            nodes.add("Slice", scaled, np.array([start]), np.array([end]), np.array([axis]))
            for start, end in ((0, size - 1), (1, size))
        )
        steps = nodes.add("Abs", nodes.add("Sub", high, low))
        parts.append(nodes.add("Div", nodes.add("ReduceSum", steps, np.array([2, 3]), keepdims=0), area))
    means = nodes.add("ReduceMean", scaled, np.array([2, 3]))
    offsets = nodes.add("Sub", scaled, means)
    variances = nodes.add("ReduceMean", nodes.add("Mul", offsets, offsets), np.array([2, 3]), keepdims=0)
    flat = nodes.add("Squeeze", means, np.array([2, 3]))
    nodes.add("Concat", *parts, flat, nodes.add("Sqrt", variances), output=FEATURES, axis=1)


def _grouped(nodes: _Nodes, dense: str, width: int) -> str:
    """Features (N, width) as at most MAX_DENSE_FEATURES means of neighbours, as torch's adaptive pooling computes."""
    if width <= MAX_DENSE_FEATURES:
        return dense
    numbers = np.arange(MAX_DENSE_FEATURES)
    starts, ends = numbers * width // MAX_DENSE_FEATURES, -(-(numbers + 1) * width // MAX_DENSE_FEATURES)
    places = starts[:, None] + np.arange((ends - starts).max())
    weights = (places < ends[:, None]) / (ends - starts)[:, None]
    chosen = nodes.add("Gather", dense, np.minimum(places, width - 1).astype(np.int32), axis=1)
    return nodes.add("ReduceSum", nodes.add("Mul", chosen, weights.astype(np.float32)), np.array([2]), keepdims=0)
