"""The profile of an ONNX file: counted from its graph, with what the metadata of `lightcnn export` state."""

from __future__ import annotations

import json

from lightcnn.budget import Cost
from lightcnn.errors import LightcnnError
from lightcnn.exported_metadata import FLOAT_FORMAT, ExportedMetadata
from lightcnn.onnxfiles.count import count_graph
from lightcnn.onnxfiles.read import Graph
from lightcnn.profiling.profile import Accuracy, Profile, cost_on_device
from lightcnn.spec import NetworkSpec, Shape

STATES_NOTHING = "accuracy, flash and arena are unknown: the file has no metadata of lightcnn, so they are not stated"
NO_ACCURACY = "the accuracy is unknown: the run that was exported has no score on a test set"
OTHER_ACCURACY = "the accuracy of this file is unknown: the metadata state that of its run in fp32"
C_OF_NETWORK = "flash and arena are those of the C that lightcnn generates from the network in the file's metadata"
NO_C = "flash and arena are unknown: lightcnn generates no C for the network in the file's metadata"


def file_profile(name: str, source: str, graph: Graph, accuracy: Accuracy | None = None) -> Profile:
    """The costs of a file, without times; `accuracy` replaces the one that the file states. Raises: LightcnnError."""
    metadata, counts = graph.metadata, count_graph(graph)
    if metadata is None:
        return Profile(name, source, graph.input, counts, accuracy=accuracy, notes=(STATES_NOTHING,))
    device = _cost_on_device(metadata)
    stated, reason = _accuracy(metadata)
    notes = [reason] * (accuracy is None and stated is None) + [NO_C if device is None else C_OF_NETWORK]
    return Profile(name, source, graph.input, counts, accuracy=accuracy or stated, device=device, notes=tuple(notes))


def _accuracy(metadata: ExportedMetadata) -> tuple[Accuracy | None, str]:
    """The accuracy of a file, or the reason why it is not known."""
    if metadata.accuracy is None:
        return None, NO_ACCURACY
    if metadata.format != FLOAT_FORMAT:
        return None, OTHER_ACCURACY
    return Accuracy(float(metadata.accuracy["value"] or 0), "its metadata, test set of the run", _shape(metadata)), ""


def _shape(metadata: ExportedMetadata) -> Shape:
    """The input of the network, to which the file resizes images of any size."""
    return metadata.channels, metadata.size, metadata.size


def _cost_on_device(metadata: ExportedMetadata) -> Cost | None:
    """The flash and the arena of the network that the metadata state; None for networks without C."""
    try:
        spec = NetworkSpec.model_validate_json(json.dumps(metadata.network))
        cost = cost_on_device(spec, _shape(metadata)) if spec.digest() == metadata.network_digest else None
    except (ValueError, ArithmeticError, LightcnnError):
        return None
    return None if cost is None or cost.flash_bytes is None else cost
