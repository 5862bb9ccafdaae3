"""ONNX files for tests; modules that import this are skipped without the extra `onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lightcnn.baselines import build_network
from lightcnn.counting.folding import fold_pairs, foldable_pairs
from lightcnn.counting.trace import trace

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lightcnn.onnxfiles.write import onnx_bytes  # noqa: E402

FLOAT = 1
"""The type float32 of onnx.TensorProto."""


def randomise_statistics(model: nn.Module) -> nn.Module:
    """The model with statistics and biases that differ, since an exporter merges tensors that are equal."""
    random = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=random)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5, generator=random)  # type: ignore[union-attr]
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(0.5, 1.5, generator=random)
    return model.eval()


def export_deployed(spec: Any, path: Path) -> nn.Module:
    """Writes the deployed network of a spec to a file, and returns the network."""
    model = randomise_statistics(build_network(spec, 0, pretrained=False))
    deployed = fold_pairs(model, foldable_pairs(model, trace(model, spec.input)))
    path.write_bytes(onnx_bytes(deployed, spec.input))
    return deployed


def write_graph(path: Path, nodes: list[Any], tensors: Any = (), *, dims: Any = (1, 3, 4, 4), **others: Any) -> Path:
    """A file with these nodes from `image` to `out`.

    `others`: `kind` of the image, `rank` and `out` (type) of the output, `extra` inputs, `opset` of ONNX.
    """
    make = onnx.helper.make_tensor_value_info
    image = make("image", others.get("kind", FLOAT), dims)
    out = make("out", FLOAT, [f"side{place}" for place in range(others.get("rank", 4))])
    graph = onnx.helper.make_graph(nodes, "g", [image, *others.get("extra", ())], [out], list(tensors))
    domains = [onnx.helper.make_opsetid("", others.get("opset", 18)), onnx.helper.make_opsetid("com.microsoft", 1)]
    proto = onnx.helper.make_model(graph, opset_imports=domains, ir_version=9)
    path.write_bytes(proto.SerializeToString())
    return path


def tensor(name: str, *shape: int) -> Any:
    """A stored tensor of ones."""
    return onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)


def node(operator: str, inputs: str, out: str = "out", **attributes: Any) -> Any:
    """An operator with these inputs and outputs, separated by commas."""
    return onnx.helper.make_node(operator, inputs.split(","), out.split(","), **attributes)
