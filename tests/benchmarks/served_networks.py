"""Writes the networks of `serve.py` with random weights, as `lightcnn export` does: `served_networks.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from lightcnn import document
from lightcnn.data.preprocess import Preprocess
from lightcnn.exporting.onnx_formats.onnx_file import exported_metadata, network_bytes
from lightcnn.exporting.subject import ExportSubject
from lightcnn.network import build, fold
from lightcnn.onnxfiles.assembly import assemble
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork

SMALL = """
name: small
input: [1, 28, 28]
stem: [{kind: conv, width: 8}]
stages:
- {kind: pool}
- {kind: residual, body: [{kind: separable, width: 26}]}
- {kind: pool}
- {kind: residual, depth: 2, body: [{kind: separable, width: 52}]}
- {kind: pool}
- {kind: residual, depth: 3, body: [{kind: separable, width: 100}]}
- {kind: conv, width: 276, kernel: 1}
classes: 10
"""
"""A network of 1 MFLOPs that `lightcnn search` chose for Fashion-MNIST."""


def write_file(path: Path, spec: NetworkSpec) -> None:
    """A network with random weights, as `lightcnn export` writes it."""
    channels, size, _ = spec.input
    rule = Preprocess(
        size=size, channels=channels, shorter_side=256, mean=(0.5,) * channels, deviation=(0.25,) * channels,
        classes=tuple(f"class {number}" for number in range(spec.classes)),
    )  # fmt: skip
    model = build(spec, seed=0).eval()
    subject = ExportSubject(RunFolder(path.parent), TrainedNetwork(spec, model, rule), fold(model))
    path.write_bytes(assemble(network_bytes(subject), exported_metadata(subject, "onnx")))


def main(folder: Path) -> None:
    large = document.load(Recipe, document.find("recipes", "micrompoxnet")).network
    assert isinstance(large, NetworkSpec)
    (folder / "small.yaml").write_text(SMALL)
    write_file(folder / "micrompoxnet.onnx", large)
    write_file(folder / "1-mflop.onnx", NetworkSpec.load(folder / "small.yaml"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
