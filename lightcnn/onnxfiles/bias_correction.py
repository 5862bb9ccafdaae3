"""Corrects the biases of an ONNX file, so that in int8 the mean output of every channel is that in float.

Rounding shifts the mean of a channel, and later layers add these shifts up (arXiv:1906.04721). Layer by layer, the mean
output of the network in int8 on some training images is compared with that of the network in float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.onnxfiles.layers import OPERATORS
from lightcnn.onnxfiles.quantization import Range, quantize_network
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.progress import Progress, no_progress


def correct_biases(
    network: bytes, ranges: Mapping[str, Range], images: NDArray[np.float32], progress: Progress = no_progress
) -> bytes:
    """The network in float, with the biases that it needs in int8.

    Args:
        network: The file of the network in float.
        ranges: The ranges of its activations in int8.
        images: Normalised training images (N, C, S, S).
        progress: Called before each layer.

    Raises: LightcnnError if ONNX Runtime cannot run the network, or if it cannot be quantized.
    """
    import onnx

    proto = onnx.load_model_from_string(network)
    biases = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes = [node for node in proto.graph.node if node.op_type in OPERATORS and _bias(node) in biases]
    expected = _channel_means(_with_outputs(proto, [node.output[0] for node in nodes]), images)
    for number, node in enumerate(nodes):
        progress("correcting biases", number, len(nodes))
        bias, part = biases[_bias(node)], _with_outputs(proto, node.output[:1])
        (computed,) = _channel_means(quantize_network(part, ranges), images)
        corrected = onnx.numpy_helper.to_array(bias) + (expected[number] - computed)
        bias.CopyFrom(onnx.numpy_helper.from_array(corrected.astype(np.float32), bias.name))
    return bytes(proto.SerializeToString(deterministic=True))


def _bias(node: Any) -> str:
    """The name of a layer's bias; empty if it has none."""
    return str(node.input[2]) if len(node.input) > 2 else ""


def _with_outputs(proto: Any, names: Sequence[str]) -> bytes:
    """The part of a network that computes these tensors, which are its outputs."""
    import onnx

    graph, needed, nodes = proto.graph, set(names), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    part = onnx.ModelProto()
    part.CopyFrom(proto)
    part.graph.CopyFrom(onnx.helper.make_graph(nodes[::-1], graph.name, graph.input, outputs, initializer=weights))
    return bytes(part.SerializeToString())


def _channel_means(network: bytes, images: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """The mean (channels,) of every output (N, channels, ...) over images and places."""
    session = open_session(network, 1)
    sums: list[NDArray[np.float64]] = []
    for image in images:
        means = [
            rows[0].reshape(rows.shape[1], -1).mean(1, dtype=np.float64)
            for rows in session_outputs(session, image[None])
        ]
        sums = [total + mean for total, mean in zip(sums, means, strict=True)] if sums else means
    return [total / len(images) for total in sums]
