"""The format `onnx-int8`: convolutions and dense layers in 8 bits, calibrated on training images.

Preprocessing, softmax and features are added after the network was quantized, so they stay in float. The ranges of the
activations are those by which the probabilities of validation images differ least from those in float.
"""

from __future__ import annotations

from pathlib import Path

from lightcnn.errors import InputError
from lightcnn.exporting.onnx_formats.harm import find_harm
from lightcnn.exporting.onnx_formats.onnx_file import exported_metadata, file_probabilities, network_bytes
from lightcnn.exporting.subject import ExportedFormat, ExportSubject, NumberTypes
from lightcnn.onnxfiles.assembly import assemble
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.layers import layers, weight_bytes
from lightcnn.onnxfiles.post_training import calibrate, validation_inputs
from lightcnn.progress import Progress

FORMAT, FILE = "onnx-int8", "model.int8.onnx"


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
        details |= find_harm(calibrated, validation, progress)
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
