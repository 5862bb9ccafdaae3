"""The format `onnx-int8`: convolutions and dense layers in 8 bits, calibrated on training images.

Preprocessing, softmax and features are added after the network was quantized, so they stay in float. The ranges of the
activations that give the lowest log loss on validation images are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightcnn.errors import InputError
from lightcnn.exporting.onnx_formats.onnx_file import exported_metadata, file_probabilities, network_bytes
from lightcnn.exporting.subject import ExportedFormat, ExportSubject, NumberTypes
from lightcnn.onnxfiles.assembly import assemble
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.layers import layers, weight_bytes
from lightcnn.onnxfiles.post_training import CalibratedNetwork, ValidationInputs, calibrate, validation_inputs
from lightcnn.progress import Progress

FORMAT, FILE = "onnx-int8", "model.int8.onnx"
EXAMINED_IMAGES, EXAMINED_LAYERS = 500, 100
"""Maximum numbers of validation images and of layers when layers are left in float one at a time."""
LOSS_POINTS = 0.5
"""Loss of validation accuracy, in percentage points, from which the layers that cause it are searched for."""
NAMED_LAYERS, MIN_GAIN = 5, 0.1
"""Maximum number of layers that are named, and the least share of the loss that such a layer repairs."""


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes model.int8.onnx into `folder`.

    Raises: InputError if the extra or training images are missing; LightcnnError if the network cannot be quantized. No
    file is left then.
    """
    require_onnx(f"--to {FORMAT}")
    if subject.training is None:
        raise InputError(f"--to {FORMAT}: needs training images for its calibration; give the data with --data SOURCE")
    images, rules = subject.validation, subject.preprocess
    validation = None if images is None else validation_inputs(images.images, images.labels, rules)
    calibrated = calibrate(network_bytes(subject), subject.training.images, validation, rules, progress)
    details = dict(calibrated.document)
    if validation is not None:
        details["harmful_layers"] = _harmful_layers(calibrated, validation, progress)
    quantized, metadata = calibrated.int8(), exported_metadata(subject, FORMAT)
    data = assemble(quantized, metadata)
    (folder / FILE).write_bytes(data)
    return ExportedFormat(
        format=FORMAT, files=(FILE,), weight_bytes=weight_bytes(quantized), preprocessing=metadata.input_rule(),
        probabilities=file_probabilities(folder / FILE), number_types=number_types(data),
        details={"calibration": details},
    )  # fmt: skip


def number_types(data: bytes) -> NumberTypes:
    """The types of the weights and of the inputs of all layers of a file."""
    rows = layers(data)
    return NumberTypes(frozenset(row.weights for row in rows), frozenset(row.input for row in rows))


def _harmful_layers(
    calibrated: CalibratedNetwork, validation: ValidationInputs, progress: Progress
) -> list[dict[str, Any]]:
    """The layers without whose 8 bits the log loss is lowest, if int8 loses accuracy that is worth an explanation.

    Each is left in float, one at a time. The activations that it reads stay in 8 bits, since the layer before writes
    them, so a coarse activation between two layers is not ascribed to either.
    """
    scores = calibrated.document
    lost = scores["fp32"]["accuracy"] - max(row["accuracy"] for row in scores["methods"].values())
    if 100 * lost < LOSS_POINTS:
        return []
    before = validation.scores(calibrated.int8(), EXAMINED_IMAGES)["log_loss"]
    gains: dict[str, float] = {}
    examined = layers(calibrated.network)[:EXAMINED_LAYERS]
    for number, layer in enumerate(examined):
        progress("leaving layers in float", number, len(examined))
        gains[layer.name] = before - validation.scores(calibrated.int8([layer.name]), EXAMINED_IMAGES)["log_loss"]
    lost_loss = before - validation.scores(calibrated.network, EXAMINED_IMAGES)["log_loss"]
    worst = sorted(gains, key=lambda name: -gains[name])[:NAMED_LAYERS]
    return [
        {"layer": name, "log_loss_gained": gains[name]} for name in worst if gains[name] > MIN_GAIN * max(lost_loss, 0)
    ]
