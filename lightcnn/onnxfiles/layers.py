"""The layers with weights in an ONNX file: their names, the types of their numbers, and the bytes of all weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that have weights."""
CODING = ("QuantizeLinear", "DequantizeLinear")
"""Operators from and to 8 bits: their inputs are values, scale and zero point."""
INT8 = ("int8", "uint8")
"""Types of numbers in 8 bits."""
SUFFIXES = ("_quantized", ".weight")
"""Endings of the names of weights, which the name of a layer does not have."""


@dataclass(frozen=True)
class OnnxLayer:
    """A layer: its name, that of its operator, and the types of its stored weights and of its input, such as "int8"."""

    name: str
    node: str
    weights: str
    input: str

    @property
    def is_int8(self) -> bool:
        """Whether both its weights and its input are in 8 bits."""
        return self.weights in INT8 and self.input in INT8


def layers(data: bytes) -> list[OnnxLayer]:
    """The convolutions and dense layers of a file in order; a product of two activations has no weights."""
    import onnx

    graph = onnx.load_model_from_string(data).graph
    stored = {tensor.name: onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name for tensor in graph.initializer}
    sources = {name: node for node in graph.node for name in node.output}
    weighted = []
    for node in graph.node:
        if node.op_type not in OPERATORS:
            continue
        weights, image = (_dequantized(sources, node.input[index]) for index in (1, 0))
        name = weights[0] if weights else node.input[1]
        if name in stored:
            # The zero point of an activation has its type.
            kind = stored.get(image[2], "unknown") if image else "float32"
            weighted.append(OnnxLayer(_layer_name(name), node.name, stored[name], kind))
    return weighted


def names_of_activations(data: bytes) -> dict[str, str]:
    """Tensor → the operator that computes it and the layer before, such as "Mul after stages.1.conv", for readers."""
    import onnx

    graph = onnx.load_model_from_string(data).graph
    layer_names = {layer.node: layer.name for layer in layers(data)}
    sources: dict[str, str] = {}
    names: dict[str, str] = {each.name: "the image" for each in graph.input}
    for node in graph.node:
        before = next((sources[name] for name in node.input if name in sources), "the image")
        for output in node.output:
            sources[output] = layer_names.get(node.name, before)
            is_layer = node.name in layer_names
            names[output] = f"the output of {sources[output]}" if is_layer else f"{node.op_type} after {before}"
    return names


def weight_bytes(data: bytes) -> int:
    """Bytes of all stored numbers, without scales and zero points, and without shapes and indices (int64)."""
    import onnx

    graph = onnx.load_model_from_string(data).graph
    scales = {name for node in graph.node if node.op_type in CODING for name in node.input[1:]}
    return sum(
        onnx.numpy_helper.to_array(tensor).nbytes
        for tensor in graph.initializer
        if tensor.name not in scales and tensor.data_type != onnx.TensorProto.INT64
    )


def _dequantized(sources: dict[str, Any], name: str) -> list[str]:
    """The names of values, scale and zero point from which `name` is dequantized; empty if it is not."""
    node = sources.get(name)
    return [*node.input, "", ""] if node is not None and node.op_type == "DequantizeLinear" else []


def _layer_name(weights: str) -> str:
    for suffix in SUFFIXES:
        weights = weights.removesuffix(suffix)
    return weights
