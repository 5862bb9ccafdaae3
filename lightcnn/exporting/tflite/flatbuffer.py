"""The parts of a `.tflite` file: tensors, their values, and operators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.exporting.subject import NumberTypes
from lightcnn.exporting.tflite.micro import schema
from lightcnn.integer.network import Quantization
from lightcnn.spec import Shape

FILE_VERSION, FILE_IDENTIFIER = 3, b"TFL3"
OPERATOR_VERSION = 3
"""The first version in which all operators that are used take int8 with a scale per channel."""
ALIGNMENT = 16
"""Bytes by which the format aligns values."""


def number_types(data: bytes) -> NumberTypes:
    """The types of the weights and of the inputs and outputs of all convolutions of a file."""
    names = {value: name.lower() for name, value in vars(schema().TensorType).items() if isinstance(value, int)}
    model = schema().ModelT.InitFromPackedBuf(bytearray(data), 0)
    (graph,), codes = model.subgraphs, [code.builtinCode for code in model.operatorCodes]
    kinds = schema().BuiltinOperator
    layers = [each for each in graph.operators if codes[each.opcodeIndex] in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D)]

    def types(tensors: Iterable[int]) -> frozenset[str]:
        return frozenset(names[graph.tensors[tensor].type] for tensor in tensors)

    activations = [tensor for each in layers for tensor in (each.inputs[0], *each.outputs)]
    return NumberTypes(types(each.inputs[1] for each in layers), types(activations))


class TfliteFile:
    """A file with one graph, whose first tensor is its input; operators are added in the order in which they run."""

    def __init__(self) -> None:
        self.schema = schema()
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [self.schema.BufferT()]
        self._operators: list[Any] = []
        self._codes: list[int] = []

    def activation(self, shape: Shape, quantization: Quantization | None) -> int:
        """Adds a tensor (1, H, W, C) for a shape (C, H, W), of int8 or of float32; returns its number."""
        channels, height, width = shape
        tensor = self._tensor((1, height, width, channels), np.dtype(np.int8 if quantization else np.float32))
        if quantization:
            self._quantize(tensor, np.array([quantization.scale]), quantization.zero)
        return len(self._tensors) - 1

    def constant(
        self, values: NDArray[Any], scales: NDArray[Any] | None = None, *, zero: int = 0, axis: int = 0
    ) -> int:
        """Adds a tensor of int8, int32 or float32 with its values; `scales` are along `axis`. Returns its number."""
        tensor = self._tensor(values.shape, values.dtype)
        if scales is not None:
            self._quantize(tensor, scales, zero, axis)
        tensor.buffer = len(self._buffers)
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._buffers.append(buffer)
        return len(self._tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], output: int, kind: str = "", **options: Any) -> None:
        """Adds an operator, with options of the class that is named `kind`, such as "Conv2DOptions"."""
        operator, code = self.schema.OperatorT(), getattr(self.schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs, operator.outputs = list(inputs), [output]
        if kind:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(self.schema, f"{kind}T")()
            for option, value in options.items():
                setattr(operator.builtinOptions, option, value)
        self._operators.append(operator)

    def packed(self, output: int) -> bytes:
        """The bytes of the file whose output is the tensor with that number."""
        import flatbuffers

        graph, model = self.schema.SubGraphT(), self.schema.ModelT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = [0], [output]
        model.version, model.subgraphs, model.buffers = FILE_VERSION, [graph], self._buffers
        model.operatorCodes = [self._operator_code(code) for code in self._codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(self, shape: Sequence[int], kind: np.dtype[Any]) -> Any:
        tensor = self.schema.TensorT()
        types = self.schema.TensorType
        tensor.shape = list(shape)
        tensor.type = {"int8": types.INT8, "int32": types.INT32, "float32": types.FLOAT32}[kind.name]
        self._tensors.append(tensor)
        return tensor

    def _quantize(self, tensor: Any, scales: NDArray[Any], zero: int, axis: int = 0) -> None:
        tensor.quantization = self.schema.QuantizationParametersT()
        tensor.quantization.scale = scales.astype(np.float32).tolist()
        tensor.quantization.zeroPoint = [zero] * len(scales)
        tensor.quantization.quantizedDimension = axis

    def _operator_code(self, code: int) -> Any:
        operator = self.schema.OperatorCodeT()
        operator.builtinCode, operator.version = code, OPERATOR_VERSION
        # Older readers know this field, of 8 bits; 127 refers them to the other one.
        operator.deprecatedBuiltinCode = min(code, 127)
        return operator
