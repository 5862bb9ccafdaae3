"""The format `onnx-int8`: convolutions and dense layers in 8 bits, calibrated on training images.

Preprocessing, softmax and features are added after the network was quantized, so they stay in float. The ranges of the
activations that give the lowest log loss on validation images are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.tensors import normalise
from lightcnn.decisions import class_probabilities, decide
from lightcnn.errors import InputError
from lightcnn.exporting.onnx_formats.onnx_file import exported_metadata, file_probabilities, network_bytes
from lightcnn.exporting.subject import ExportedFormat, ExportSubject, NumberTypes
from lightcnn.onnxfiles.assembly import assemble
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.layers import layers, weight_bytes
from lightcnn.onnxfiles.quantization import Range, observe_activations, quantize_network
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.progress import Progress

FORMAT, FILE = "onnx-int8", "model.int8.onnx"
CALIBRATION_IMAGES = 256
"""Maximum number of training images from which ranges are taken."""
SHARES = {"min-max": 0.0, "percentile 99.999": 1e-5, "percentile 99.99": 1e-4, "percentile 99.9": 1e-3}
"""The range methods: the share of values of an activation that its range does not contain. Log losses on Fashion-MNIST
(fp32: 0.2725), in this order: 0.2731, 0.2730, 0.2725, 0.2746; with 99 % it is 0.3127."""
VALIDATION_IMAGES = 2000
"""Maximum number of validation images on which range methods are compared."""
EXAMINED_IMAGES, EXAMINED_LAYERS = 500, 100
"""Maximum numbers of validation images and of layers when layers are left in float one at a time."""
LOSS_POINTS = 0.5
"""Loss of validation accuracy, in percentage points, from which the layers that cause it are searched for."""
NAMED_LAYERS = 5
"""Maximum number of layers that are named."""
Inputs = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Validation:
    """Normalised validation images (N, C, S, S) with labels (N,), and how logits become probabilities and classes."""

    inputs: Inputs
    labels: NDArray[np.int64]
    temperature: float
    threshold: float

    def scores(self, network: bytes, count: int | None = None) -> dict[str, float]:
        """Log loss and accuracy of the file of a network, on the first `count` images."""
        session, labels = open_session(network, 1), self.labels[:count]
        logits = [session_outputs(session, image[None])[0] for image in self.inputs[:count]]
        predicted = class_probabilities(np.concatenate(logits), self.temperature)
        losses = -np.log(np.maximum(predicted[np.arange(len(labels)), labels], 1e-15))
        correct = decide(predicted, self.threshold) == labels
        return {"log_loss": float(losses.mean()), "accuracy": float(correct.mean())}


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes model.int8.onnx into `folder`.

    Raises: InputError if the extra or training images are missing; LightcnnError if the network cannot be quantized. No
    file is left then.
    """
    require_onnx(f"--to {FORMAT}")
    if subject.training is None:
        raise InputError(f"--to {FORMAT}: needs training images for its calibration; give the data with --data SOURCE")
    network, validation = network_bytes(subject), _validation(subject)
    progress(f"calibrating {FORMAT}", 0, len(SHARES))
    inputs = normalise(subject.training.images[:CALIBRATION_IMAGES], subject.preprocess).numpy()
    activations = observe_activations(network, inputs)
    choices = {name: activations.ranges(share) for name, share in SHARES.items()}
    method, details = _choose(network, choices, validation, progress)
    quantized = quantize_network(network, choices[method])
    if validation is not None:
        details["harmful_layers"] = _harmful_layers(network, choices[method], details, validation, progress)
    metadata = exported_metadata(subject, FORMAT)
    data = assemble(quantized, metadata)
    (folder / FILE).write_bytes(data)
    return ExportedFormat(
        format=FORMAT, files=(FILE,), weight_bytes=weight_bytes(quantized), preprocessing=metadata.input_rule(),
        probabilities=file_probabilities(folder / FILE), number_types=number_types(data),
        details={"calibration": {"method": method, "images": len(inputs), **details}},
    )  # fmt: skip


def number_types(data: bytes) -> NumberTypes:
    """The types of the weights and of the inputs of all layers of a file."""
    rows = layers(data)
    return NumberTypes(frozenset(row.weights for row in rows), frozenset(row.input for row in rows))


def _validation(subject: ExportSubject) -> _Validation | None:
    """Some validation images, evenly spread over the set; None if there are none."""
    images, rules = subject.validation, subject.preprocess
    if images is None or not len(images.labels):
        return None
    step = -(-len(images.labels) // VALIDATION_IMAGES)
    inputs = normalise(images.images[::step], rules).numpy()
    return _Validation(inputs, images.labels[::step], rules.temperature, rules.threshold)


def _choose(
    network: bytes, choices: Mapping[str, Mapping[str, Range]], validation: _Validation | None, progress: Progress
) -> tuple[str, dict[str, Any]]:
    """The range method with the lowest log loss, and the scores of fp32 and of all methods; without images, min-max."""
    if validation is None:
        return next(iter(choices)), {"validation_images": 0}
    scores = {}
    for number, (name, ranges) in enumerate(choices.items()):
        progress(f"calibrating {FORMAT}", number, len(choices))
        scores[name] = validation.scores(quantize_network(network, ranges))
    best = min(scores, key=lambda name: scores[name]["log_loss"])
    return best, {
        "validation_images": len(validation.labels), "fp32": validation.scores(network), "methods": scores,
    }  # fmt: skip


def _harmful_layers(
    network: bytes,
    ranges: Mapping[str, Range],
    details: Mapping[str, Any],
    validation: _Validation,
    progress: Progress,
) -> list[dict[str, Any]]:
    """The layers without whose 8 bits the log loss is lowest, if int8 loses accuracy that is worth an explanation."""
    lost = details["fp32"]["accuracy"] - max(row["accuracy"] for row in details["methods"].values())
    if 100 * lost < LOSS_POINTS:
        return []
    before = validation.scores(quantize_network(network, ranges), EXAMINED_IMAGES)["log_loss"]
    gains: dict[str, float] = {}
    examined = layers(network)[:EXAMINED_LAYERS]
    for number, layer in enumerate(examined):
        progress("leaving layers in float", number, len(examined))
        alone = quantize_network(network, ranges, [layer.name])
        gains[layer.name] = before - validation.scores(alone, EXAMINED_IMAGES)["log_loss"]
    worst = sorted(gains, key=lambda name: -gains[name])[:NAMED_LAYERS]
    return [{"layer": name, "log_loss_gained": gains[name]} for name in worst if gains[name] > 0]
