"""How many bytes a network has: in memory when deployed, on disk as lightcnn saves it, and as a Keras file."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightcnn.cost import FLOAT_BYTES
from lightcnn.errors import InputError

ADAM_COPIES = 3
"""A Keras file of a model compiled with Adam holds each weight and Adam's two moments of it."""
SAFETENSORS_TYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3", torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32", torch.complex64: "C64",
    torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64",
}  # fmt: skip
"""torch's types by their safetensors names; safetensors writes tensors in the reverse of this order."""


def weight_bytes(deployed: nn.Module) -> dict[str, int]:
    """Bytes of a deployed network: fp32, and int8 with 1 byte per weight and 4 per bias or parameter of a norm."""
    sizes = [(parameter.numel(), parameter.ndim > 1) for parameter in deployed.parameters()]
    return {
        "fp32": FLOAT_BYTES * sum(size for size, _ in sizes),
        "int8": sum(size if weight else FLOAT_BYTES * size for size, weight in sizes),
    }


def saved_bytes(state: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> int:
    """Length in bytes of the safetensors file that lightcnn would write of these tensors, computed without writing it.

    Raises: InputError if such a file cannot hold one of the tensors.
    """
    unsupported = [name for name, tensor in state.items() if tensor.dtype not in SAFETENSORS_TYPES]
    if unsupported:
        raise InputError(
            f"tensor {unsupported[0]} is {state[unsupported[0]].dtype}, which a safetensors file cannot hold"
        )
    order = list(SAFETENSORS_TYPES.values())
    header: dict[str, object] = {"__metadata__": dict(notes)} if notes else {}
    end = 0
    for name, tensor in sorted(
        state.items(), key=lambda item: (-order.index(SAFETENSORS_TYPES[item[1].dtype]), item[0])
    ):
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": SAFETENSORS_TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + length + -length % 8 + end


def keras_bytes(params: int, params_with_buffers: int) -> int:
    """Bytes of a Keras file with Adam's moments, without its metadata: 12 per parameter, 4 per statistic of a norm."""
    return FLOAT_BYTES * (ADAM_COPIES * params + params_with_buffers - params)
