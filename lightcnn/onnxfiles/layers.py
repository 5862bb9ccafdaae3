"""The layers with weights in an ONNX file: their names, whether they compute in int8, and the bytes of all weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that have weights."""
CODING = ("QuantizeLinear", "DequantizeLinear")
"""Operators from and to 8 bits: their inputs are values, scale and zero point."""
SUFFIXES = ("_quantized", ".weight")
"""Endings of the names of weights, which the name of a layer does not have."""


@dataclass(frozen=True)
class OnnxLayer:
    """A layer: its name, that of its operator, and whether both its weights and its input are in 8 bits."""

    name: str
    node: str
    is_int8: bool


def layers(data: bytes) -> list[OnnxLayer]:
    """The convolutions and dense layers of a file in order; a product of two activations has no weights."""
    import onnx

    graph = onnx.load_model_from_string(data).graph
    stored = {tensor.name for tensor in graph.initializer}
    sources = {name: node for node in graph.node for name in node.output}
    weighted = []
    for node in graph.node:
        if node.op_type not in OPERATORS:
            continue
        weights, image = (_dequantized(sources, node.input[index]) for index in (1, 0))
        name = weights or node.input[1]
        if name in stored:
            weighted.append(OnnxLayer(_layer_name(name), node.name, bool(weights and image)))
    return weighted


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


def _dequantized(sources: dict[str, Any], name: str) -> str:
    """The name of the tensor in 8 bits from which `name` is dequantized; empty if it is not."""
    node = sources.get(name)
    return str(node.input[0]) if node is not None and node.op_type == "DequantizeLinear" else ""


def _layer_name(weights: str) -> str:
    for suffix in SUFFIXES:
        weights = weights.removesuffix(suffix)
    return weights
