"""Quantizes the ONNX file of a network to int8, with ranges of activations that real images gave.

Weights are signed and symmetric per output channel, activations unsigned: with signed ones, ONNX Runtime needed 2.4 to
3.3 times as long on a processor with AVX-512 VNNI. Behind the last convolution, only the inputs of dense layers are in
8 bits: ONNX Runtime's dense layers in int8 can return floats, and their activations are few numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import LightcnnError
from lightcnn.onnxfiles.layers import OPERATORS, OnnxLayer, layers
from lightcnn.onnxfiles.runtime import open_session, quiet_quantization, session_outputs
from lightcnn.text import first_line

SAMPLES = 1000
"""Elements of each activation that are kept of each image, from which percentiles are computed."""
MAX_CODE = 255
"""Largest code of an activation."""
Range = tuple[np.float32, np.float32]
DENSE = "Gemm"
"""The operator of dense layers whose inputs are vectors: in int8, that of ONNX Runtime can return floats."""
OPTIONS = {"OpTypesToExcludeOutputQuantization": [DENSE]}


@dataclass(frozen=True, eq=False)
class Activations:
    """What the activations of a network were for calibration images, by the name of the tensor: the lowest and the
    highest value, and a sample of all values."""

    extremes: Mapping[str, Range]
    samples: Mapping[str, NDArray[np.float32]]

    def ranges(self, share: float = 0.0) -> dict[str, Range]:
        """The range of each activation without a `share` of its values, half of them at each end."""
        if not share:
            return dict(self.extremes)
        ends = share / 2, 1 - share / 2
        return {
            name: (np.float32(low), np.float32(high))
            for name, values in self.samples.items()
            for low, high in [np.quantile(values, ends)]
        }


def observe_activations(network: bytes, images: NDArray[np.float32]) -> Activations:
    """The activations of a network for normalised images (N, C, S, S), one image at a time.

    Raises: LightcnnError if ONNX Runtime cannot run the network.
    """
    import onnx

    proto = onnx.load_model_from_string(network)
    source = proto.graph.input[0].name
    names = [name for node in proto.graph.node for name in node.output if name]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(proto.SerializeToString(), 1)
    extremes: dict[str, tuple[Any, Any]] = {}
    samples: dict[str, list[NDArray[np.float32]]] = {}
    for number, image in enumerate(images):
        outputs = [image[None], *session_outputs(session, image[None])]
        for name, values in zip((source, *names), outputs, strict=True):
            if values.dtype == np.float32 and values.size:
                low, high = extremes.get(name, (np.inf, -np.inf))
                extremes[name] = min(low, values.min()), max(high, values.max())
                step = -(-values.size // SAMPLES)
                samples.setdefault(name, []).append(values.ravel()[number % step :: step].copy())
    return Activations(extremes, {name: np.concatenate(parts) for name, parts in samples.items()})


def quantize_network(network: bytes, ranges: Mapping[str, Range], float_layers: Collection[str] = ()) -> bytes:
    """The network in int8 with these ranges of activations; the layers named by `float_layers` stay in float.

    Raises: LightcnnError if it cannot be quantized, or if a convolution or dense layer is not in int8 afterwards.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    proto = onnx.load_model_from_string(network)
    excluded = [node.name for node in proto.graph.node if node.op_type == "LayerNormalization"]
    excluded += [layer.node for layer in layers(network) if layer.name in float_layers]
    excluded += _tail(proto.graph)
    with quiet_quantization():
        try:
            quantizer = QDQQuantizer(
                proto, True, False, quantization.QuantType.QInt8, quantization.QuantType.QUInt8,
                TensorsData(quantization.CalibrationMethod.MinMax, dict(ranges)),
                [], excluded, sorted({*QLinearOpsRegistry, *QDQRegistry}), OPTIONS,
            )  # fmt: skip
            quantizer.quantize_model()
            quantizer.model.topological_sort()
            data = bytes(quantizer.model.model.SerializeToString(deterministic=True))
        except Exception as error:  # its errors have no common base
            raise LightcnnError(f"cannot be written in int8: {first_line(error)}") from error
    _require_int8(layers(network), layers(data), float_layers)
    return data


def coded_activations(quantized: bytes, ranges: Mapping[str, Range]) -> list[str]:
    """The names of the activations that a network in int8 has in 8 bits, in order."""
    import onnx

    graph = onnx.load_model_from_string(quantized).graph
    coded = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    return [name for name in ranges if name in coded]


def code_activation(network: bytes, name: str, extent: Range) -> bytes:
    """The network in float, with one activation as it is in 8 bits."""
    import onnx

    proto = onnx.load_model_from_string(network)
    graph, helper = proto.graph, onnx.helper
    low, high = min(float(extent[0]), 0.0), max(float(extent[1]), 0.0)
    scale = max((high - low) / MAX_CODE, float(np.finfo(np.float32).tiny))
    scales = [f"{name}/scale", f"{name}/zero"]
    graph.initializer.extend(
        [
            helper.make_tensor(scales[0], onnx.TensorProto.FLOAT, [], [scale]),
            helper.make_tensor(scales[1], onnx.TensorProto.UINT8, [], [round(-low / scale)]),
        ]
    )
    coding = [
        helper.make_node("QuantizeLinear", [name, *scales], [f"{name}/codes"]),
        helper.make_node("DequantizeLinear", [f"{name}/codes", *scales], [f"{name}/coded"]),
    ]
    for node in graph.node:
        node.input[:] = [f"{name}/coded" if source == name else source for source in node.input]
    place = next((place + 1 for place, node in enumerate(graph.node) if name in node.output), 0)
    nodes = [*graph.node[:place], *coding, *graph.node[place:]]
    graph.ClearField("node")
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _tail(graph: Any) -> list[str]:
    """The names of the nodes whose outputs reach no convolution and no product of matrices, except dense layers."""
    leading: set[str] = set()
    tail = []
    for node in reversed(graph.node):
        is_layer = node.op_type in OPERATORS and node.op_type != DENSE
        if is_layer or leading.intersection(node.output):
            leading.update(node.input)
        elif node.op_type != DENSE:
            tail.append(node.name)
    return tail


def _require_int8(before: Sequence[OnnxLayer], after: Sequence[OnnxLayer], float_layers: Collection[str]) -> None:
    """Raises: LightcnnError if a layer is not in int8 that should be."""
    in_int8 = {layer.name for layer in after if layer.is_int8}
    missing = [layer.name for layer in before if layer.name not in {*in_int8, *float_layers}]
    if missing or not in_int8:
        raise LightcnnError(
            f"cannot be written in int8: {len(missing)} of {len(before)} layers stay in float: {', '.join(missing[:5])}"
        )
