"""Exports a torch module as an ONNX file, in bytes."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from lightcnn.counting.copies import zero_image
from lightcnn.errors import LightcnnError
from lightcnn.inference import dense_inputs
from lightcnn.text import first_line

INPUT_NAME, OUTPUT_NAME, DENSE_NAME = "image", "logits", "dense"
"""Names of input and outputs of an exported network."""


class _WithDense(nn.Module):
    """A network that also returns the input (N, features) of its last dense layer, averaged over other dimensions.

    As in `lightcnn.inference`, a layer that sees parts of `images` (N, C, H, W) one by one counts as none.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.model = model
        with dense_inputs(model) as dense:
            model(images)
        self.has_dense = bool(dense) and len(dense[-1]) == len(images)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits and dense features; logits alone if the network has no dense layer."""
        with dense_inputs(self.model) as dense:
            logits: Tensor = self.model(x)
        last = dense[-1:] if self.has_dense else []
        return (logits, *(rows.flatten(1, -2).mean(1) if rows.ndim > 2 else rows for rows in last))


def onnx_bytes(model: nn.Module, shape: tuple[int, int, int], *, with_dense: bool = False) -> bytes:
    """The ONNX file of a model in eval mode on the CPU: `image` (N, C, H, W), any N → `logits` (N, classes).

    `with_dense` adds the output `dense` (N, features), the input of the last dense layer, if there is one. The file
    contains nothing about the machine on which it was exported.

    Raises: LightcnnError if torch cannot export the model.
    """
    try:
        with redirect_stdout(io.StringIO()), torch.no_grad():
            image, names = zero_image(model, shape), [OUTPUT_NAME]
            if with_dense:
                model = _WithDense(model, image).eval()
                names = [OUTPUT_NAME, DENSE_NAME][: 1 + model.has_dense]
            program = torch.onnx.export(
                model, (image,), dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                input_names=[INPUT_NAME], output_names=names,
            )  # fmt: skip
        assert program is not None
        return bytes(_without_notes(program.model_proto).SerializeToString(deterministic=True))
    except Exception as error:  # torch's exporter may raise anything
        raise LightcnnError(f"cannot be written as ONNX: {first_line(error)}") from error


def _without_notes(proto: Any) -> Any:
    """The model without notes about the source files that its operators come from."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return proto
