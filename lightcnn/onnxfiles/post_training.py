"""Quantizes the ONNX file of a trained network: ranges from training images, by the method that is best on validation.

`lightcnn export` and a search that compares its networks in 8 bits both call it, so that their scores agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.decisions import class_probabilities, decide
from lightcnn.onnxfiles.quantization import Range, code_activation, observe_activations, quantize_network
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.progress import Progress, no_progress

SHARES = {"min-max": 0.0, "percentile 99.999": 1e-5, "percentile 99.99": 1e-4, "percentile 99.9": 1e-3}
"""The range methods: the share of values of an activation that its range does not contain. Log losses on Fashion-MNIST
(fp32: 0.2725), in this order: 0.2731, 0.2730, 0.2725, 0.2746; with 99 % it is 0.3127."""
SMALLEST = 1e-15
"""Smallest probability of which a logarithm is taken."""
VALIDATION_IMAGES = 2000
"""Maximum number of validation images on which range methods are compared."""


@dataclass(frozen=True, eq=False)
class ValidationInputs:
    """Normalised validation images (N, C, S, S) with labels (N,), and how logits become probabilities and classes."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    temperature: float
    threshold: float

    def scores(self, network: bytes, count: int | None = None) -> dict[str, float]:
        """Log loss and accuracy of the file of a network, on the first `count` images."""
        return self._scores(self.probabilities(network, count))

    def compared_scores(self, network: bytes, expected: NDArray[np.float64]) -> dict[str, float]:
        """The same for all images, and the mean Kullback-Leibler divergence from those (N, classes) in float."""
        predicted = self.probabilities(network)
        ratios = np.log(np.maximum(expected, SMALLEST) / np.maximum(predicted, SMALLEST))
        return {**self._scores(predicted), "divergence": float((expected * ratios).sum(axis=1).mean())}

    def probabilities(self, network: bytes, count: int | None = None) -> NDArray[np.float64]:
        """What the file of a network predicts for the first `count` images: (count, classes)."""
        session = open_session(network, 1)
        logits = [session_outputs(session, image[None])[0] for image in self.inputs[:count]]
        return class_probabilities(np.concatenate(logits), self.temperature)

    def _scores(self, predicted: NDArray[np.float64]) -> dict[str, float]:
        labels = self.labels[: len(predicted)]
        losses = -np.log(np.maximum(predicted[np.arange(len(labels)), labels], SMALLEST))
        correct = decide(predicted, self.threshold) == labels
        return {"log_loss": float(losses.mean()), "accuracy": float(correct.mean())}


@dataclass(frozen=True, eq=False)
class CalibratedNetwork:
    """A network in float, and the ranges of its activations by the method that was chosen.

    `document` has the method, and the numbers of images; if there are validation images, also the scores of fp32 and of
    all methods.
    """

    network: bytes
    ranges: Mapping[str, Range]
    document: dict[str, Any]

    def int8(self, float_layers: Collection[str] = ()) -> bytes:
        """The file in int8; the layers named by `float_layers` stay in float."""
        return quantize_network(self.network, self.ranges, float_layers)

    def with_coded(self, activation: str) -> bytes:
        """The network in float, with one of its activations as it is in 8 bits."""
        return code_activation(self.network, activation, self.ranges[activation])


def validation_inputs(images: Images, labels: NDArray[np.int64], preprocess: Preprocess) -> ValidationInputs | None:
    """Some uint8 validation images (N, C, S, S), evenly spread over the set; None if there are none."""
    if not len(labels):
        return None
    step = -(-len(labels) // VALIDATION_IMAGES)
    inputs = normalise(images[::step].cpu(), preprocess).numpy()
    return ValidationInputs(inputs, labels[::step], preprocess.temperature, preprocess.threshold)


def calibrate(
    network: bytes,
    training: Tensor,
    validation: ValidationInputs | None,
    preprocess: Preprocess,
    progress: Progress = no_progress,
) -> CalibratedNetwork:
    """The network with the ranges by which its probabilities differ least from those in float; min-max without images.

    The difference is the mean Kullback-Leibler divergence on validation images. It needs no labels: in the log loss, a
    difference may cancel a mistake of the network. With MicroMPoxNet on 120 validation images of synthetic lesions, the
    log loss chose min-max, whose divergence (0.0013) is larger than that of 99.999 % (0.0009). Corrected biases
    (arXiv:1906.04721) were tried: the divergence became larger (0.0018).

    Args:
        network: The file of the network, which reads normalised images.
        training: uint8 training images (N, C, S, S); about 256 are enough.
        validation: What the methods are compared on, if anything.
        preprocess: The preprocessing of the network.
        progress: Called before each method.

    Raises: LightcnnError if ONNX Runtime cannot run the network, or if it cannot be quantized.
    """
    progress("calibrating onnx-int8", 0, len(SHARES))
    activations = observe_activations(network, normalise(training, preprocess).numpy())
    choices = {name: activations.ranges(share) for name, share in SHARES.items()}
    if validation is None:
        method = next(iter(choices))
        document = {"method": method, "images": len(training), "validation_images": 0}
        return CalibratedNetwork(network, choices[method], document)
    expected = validation.probabilities(network)
    scores = {}
    for number, (name, ranges) in enumerate(choices.items()):
        progress("calibrating onnx-int8", number, len(choices))
        scores[name] = validation.compared_scores(quantize_network(network, ranges), expected)
    method = min(scores, key=lambda name: scores[name]["divergence"])
    document = {
        "method": method, "images": len(training), "validation_images": len(validation.labels),
        "fp32": validation.scores(network), "methods": scores,
    }  # fmt: skip
    return CalibratedNetwork(network, choices[method], document)
