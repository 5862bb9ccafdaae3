"""What a trained network predicts for the validation set after its quantization to 8 bits."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.split import subset
from lightcnn.data.tensors import normalise
from lightcnn.decisions import class_probabilities
from lightcnn.integer import post_training, reference
from lightcnn.network import fold
from lightcnn.program import program
from lightcnn.searching.deployment.names import DeployName
from lightcnn.spec import NetworkSpec

CHUNK = 64
"""Images that a thread reads and predicts at once."""
Probabilities = NDArray[np.float64]


def quantized_probabilities(
    model: nn.Module, spec: NetworkSpec, pipeline: Pipeline, deploy: DeployName
) -> Probabilities:
    """The class probabilities (N, classes) of the validation images, from the network in 8 bits, on all cores.

    It is quantized as by `lightcnn export`, with the same number of training images; for ONNX, the ranges of
    activations are those of the smallest and the largest value.

    Raises: InputError or LightcnnError if the network cannot be quantized.
    """
    size, sets, count = spec.input[1], pipeline.split, post_training.CALIBRATION_IMAGES
    calibration = pipeline.images(subset(pipeline.dataset, sets.train, count, 0)[:count], size)[:].cpu()
    predict = (_c if deploy == "c" else _onnx)(fold(model).cpu(), spec, calibration, pipeline.preprocess(size))
    validation = pipeline.images(sets.val, size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        starts = range(0, len(validation), CHUNK)
        return np.concatenate(list(pool.map(lambda start: predict(validation[start : start + CHUNK].cpu()), starts)))


def _c(
    model: nn.Module, spec: NetworkSpec, calibration: Tensor, preprocess: Preprocess
) -> Callable[[Tensor], Probabilities]:
    """What the generated C computes, in NumPy."""
    network = post_training.quantize_network(program(spec), model.state_dict(), calibration, preprocess)
    predict = partial(reference.probabilities, network, temperature=preprocess.temperature)
    return lambda images: predict(images.movedim(1, 3).contiguous().numpy())


def _onnx(
    model: nn.Module, spec: NetworkSpec, calibration: Tensor, preprocess: Preprocess
) -> Callable[[Tensor], Probabilities]:
    """What ONNX Runtime computes."""
    from lightcnn.onnxfiles.quantization import observe_activations, quantize_network
    from lightcnn.onnxfiles.runtime import open_session, session_outputs
    from lightcnn.onnxfiles.write import onnx_bytes

    network = onnx_bytes(model, spec.input)
    ranges = observe_activations(network, normalise(calibration, preprocess).numpy()).ranges()
    session = open_session(quantize_network(network, ranges), 1)

    def predict(images: Tensor) -> Probabilities:
        logits = session_outputs(session, normalise(images, preprocess).numpy())[0]
        return class_probabilities(logits, preprocess.temperature)

    return predict
