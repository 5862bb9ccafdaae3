"""The format `onnx`: a network in fp32 with its preprocessing, its probabilities and the facts about it in one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.exported_metadata import ExportedMetadata, side_cars
from lightcnn.exporting.onnx_formats.parity import require_parity
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.onnxfiles.assembly import assemble
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.layers import weight_bytes
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.onnxfiles.write import onnx_bytes
from lightcnn.predictor import MAX_BATCH_IMAGES, MAX_BATCH_PIXELS
from lightcnn.progress import Progress

FORMAT, FILE = "onnx", "model.onnx"


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes model.onnx into `folder`.

    Raises: InputError if the extra is missing; LightcnnError if the network cannot be written, or if the file's outputs
    differ from PyTorch's. No file is left then.
    """
    require_onnx(f"--to {FORMAT}")
    progress(f"exporting {FORMAT}", 0, 2)
    metadata, network = exported_metadata(subject, FORMAT), network_bytes(subject)
    data = assemble(network, metadata)
    progress(f"exporting {FORMAT}", 1, 2)
    parity = require_parity(subject, data, metadata)
    (folder / FILE).write_bytes(data)
    progress(f"exporting {FORMAT}", 2, 2)
    return ExportedFormat(
        format=FORMAT, files=(FILE,), weight_bytes=weight_bytes(network), preprocessing=metadata.input_rule(),
        probabilities=file_probabilities(folder / FILE), details={"parity": parity},
    )  # fmt: skip


def network_bytes(subject: ExportSubject) -> bytes:
    """The network alone: normalised images to logits, and to dense features if the run has a score of unlikeness."""
    preprocess = subject.preprocess
    shape = (preprocess.channels, preprocess.size, preprocess.size)
    return onnx_bytes(subject.deployed, shape, with_dense=preprocess.unlikeness is not None)


def file_probabilities(file: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """A function that runs a file with ONNX Runtime on one thread: images uint8 (N, H, W, C) → (N, classes)."""
    session = open_session(str(file), 1)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        step = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // (images.shape[1] * images.shape[2])))
        starts = range(0, len(images), step)
        rows = [session_outputs(session, images[start : start + step])[0] for start in starts]
        return np.concatenate(rows).astype(np.float64)

    return predict


def exported_metadata(subject: ExportSubject, name: str) -> ExportedMetadata:
    """The facts that a file of the format `name` states about itself; they contain no path of this machine."""
    spec, report = subject.network.spec, subject.report
    network, preprocess = spec.model_dump(mode="json"), subject.preprocess.model_dump(mode="json")
    if "weights" in network:
        network["weights"] = PurePath(network["weights"]).name
    return ExportedMetadata(
        format=name, preprocess=preprocess, network=network, network_digest=spec.digest(),
        data=_data(report.get("data")), side_cars=side_cars(preprocess), accuracy=_accuracy(report),
        operating=subject.operating,
    )  # fmt: skip


def _data(data: Any) -> dict[str, Any]:
    """Source, stand-in, fingerprint and counts of the `data` of a report.json; of a path, the last name only."""
    if not isinstance(data, dict):
        return {}
    facts = {name: data.get(name) for name in ("source", "stand_in", "fingerprint", "counts")}
    return facts | {"source": PurePath(str(facts["source"])).name}


def _accuracy(report: Mapping[str, Any]) -> dict[str, float] | None:
    """The accuracy on the test set with its interval, if a report.json has them."""
    value: Any = report
    for key in ("metrics", "test", "accuracy"):
        value = value.get(key) if isinstance(value, dict) else None
    names = ("value", "low", "high")
    if not isinstance(value, dict) or not all(isinstance(value.get(name), float) for name in names):
        return None
    return {name: value[name] for name in names}
