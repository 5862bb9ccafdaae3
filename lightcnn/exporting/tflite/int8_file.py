"""`.tflite` in int8 with the scales of the generated C, run by TensorFlow Lite Micro."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.decisions import class_probabilities
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.exporting.tflite.flatbuffer import number_types
from lightcnn.exporting.tflite.float_file import arena_details, normalisation, subject_program
from lightcnn.exporting.tflite.micro import MicroInterpreter
from lightcnn.exporting.tflite.operators import input_codes, int8_bytes
from lightcnn.integer.network import IntegerNetwork
from lightcnn.integer.post_training import quantize_network
from lightcnn.integer.tables import decode
from lightcnn.progress import Progress

FORMAT, FILE = "tflite-int8", "model-int8.tflite"
"""Name of the format, and of its file."""


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes the file, and runs it. Raises: LightcnnError if the format has no operator for a step."""
    progress("writing .tflite in int8", 0, 1)
    network = _quantized(subject)
    data = int8_bytes(network)
    (folder / FILE).write_bytes(data)
    interpreter, temperature = MicroInterpreter(data), subject.preprocess.temperature

    def probabilities(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        codes = interpreter.outputs(input_codes(network, images))
        return class_probabilities(decode(codes, network.logits), temperature)

    return ExportedFormat(
        format=FORMAT,
        files=(FILE,),
        weight_bytes=sum(step.weights.nbytes + step.bias.nbytes for step in network.steps),
        preprocessing=_preprocessing(subject, network),
        probabilities=probabilities,
        number_types=number_types(data),
        details=arena_details(interpreter),
    )


def _quantized(subject: ExportSubject) -> IntegerNetwork:
    assert subject.training is not None  # the job refuses int8 without them
    images, state = subject.training.images, subject.deployed.state_dict()
    return quantize_network(subject_program(subject), state, images, subject.preprocess)


def _preprocessing(subject: ExportSubject, network: IntegerNetwork) -> str:
    source, logits = network.quantizations[network.steps[0].step.output], network.logits
    return (
        f"{normalisation(subject.preprocess)}; the input is round(number / {source.scale:.9g}) + {source.zero}, from "
        f"-128 to 127; the logits are {logits.scale:.9g} × (output - {logits.zero})"
    )
