"""Exports a torch module as an ONNX file, in bytes."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn

from lightcnn.counting.copies import zero_image
from lightcnn.errors import LightcnnError
from lightcnn.text import first_line

INPUT_NAME, OUTPUT_NAME = "image", "logits"
"""Names of input and output of an exported file."""


def onnx_bytes(model: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """The ONNX file of a model in eval mode on the CPU: `image` (N, C, H, W), any N → `logits` (N, classes).

    The file contains nothing about the machine on which it was exported.

    Raises: LightcnnError if torch cannot export the model.
    """
    batch = {0: torch.export.Dim.DYNAMIC}
    try:
        with redirect_stdout(io.StringIO()), torch.no_grad():
            program = torch.onnx.export(
                model, (zero_image(model, shape),), dynamo=True, verbose=False, dynamic_shapes=(batch,),
                input_names=[INPUT_NAME], output_names=[OUTPUT_NAME],
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
