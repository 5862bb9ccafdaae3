"""What a trained network predicts for the validation set after its quantization to 8 bits."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.images import Images
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.split import calibration_set
from lightcnn.exported_metadata import ExportedMetadata, side_cars
from lightcnn.integer import post_training, reference
from lightcnn.network import fold
from lightcnn.program import program
from lightcnn.searching.deployment.names import DeployName
from lightcnn.spec import NetworkSpec

CHUNK = 64
"""Images that a thread reads and predicts at once."""
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""From images uint8 (N, H, W, C) to class probabilities (N, classes)."""


def quantized_probabilities(
    model: nn.Module, spec: NetworkSpec, pipeline: Pipeline, deploy: DeployName
) -> NDArray[np.float64]:
    """The class probabilities (N, classes) of the validation images, from the network in 8 bits, on all cores.

    They are those of the file that `lightcnn export` writes: the same images calibrate it and choose its ranges.

    Raises: InputError or LightcnnError if the network cannot be quantized.
    """
    size, split = spec.input[1], pipeline.split
    training = pipeline.images(calibration_set(pipeline.dataset, split), size)[:].cpu()
    validation, preprocess, deployed = pipeline.images(split.val, size), pipeline.preprocess(size), fold(model).cpu()
    if deploy == "c":
        predict = _c(deployed, spec, training, preprocess)
    else:
        predict = _onnx(deployed, spec, training, preprocess, validation, pipeline.dataset.labels[split.val])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        starts = range(0, len(validation), CHUNK)
        return np.concatenate(list(pool.map(lambda at: predict(_last_axis(validation[at : at + CHUNK])), starts)))


def _last_axis(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, C, S, S) as (N, S, S, C)."""
    return np.ascontiguousarray(images.cpu().movedim(1, 3).numpy())


def _c(model: nn.Module, spec: NetworkSpec, training: Tensor, preprocess: Preprocess) -> Predict:
    """What the generated C computes, in NumPy."""
    network = post_training.quantize_network(program(spec), model.state_dict(), training, preprocess)
    return partial(reference.probabilities, network, temperature=preprocess.temperature)


def _onnx(
    model: nn.Module,
    spec: NetworkSpec,
    training: Tensor,
    preprocess: Preprocess,
    validation: Images,
    labels: NDArray[np.int64],
) -> Predict:
    """What ONNX Runtime computes."""
    from lightcnn.onnxfiles.assembly import assemble
    from lightcnn.onnxfiles.post_training import calibrate, validation_inputs
    from lightcnn.onnxfiles.runtime import open_session, session_outputs
    from lightcnn.onnxfiles.write import onnx_bytes

    network, rules = onnx_bytes(model, spec.input, with_dense=True), preprocess.model_dump(mode="json")
    calibrated = calibrate(network, training, validation_inputs(validation, labels, preprocess), preprocess)
    metadata = ExportedMetadata("onnx-int8", rules, side_cars=side_cars(rules))
    session = open_session(assemble(calibrated.int8(), metadata), 1)
    return lambda images: session_outputs(session, images)[0].astype(np.float64)
