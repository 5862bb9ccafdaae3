"""`.tflite` in fp32, run by TensorFlow Lite Micro."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.decisions import class_probabilities
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.exporting.tflite.micro import MicroInterpreter
from lightcnn.exporting.tflite.operators import float_bytes
from lightcnn.program import Program, program
from lightcnn.progress import Progress
from lightcnn.spec import NetworkSpec

FORMAT, FILE = "tflite", "model.tflite"
"""Name of the format, and of its file."""


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes the file, and runs it. Raises: LightcnnError if the format has no operator for a step."""
    progress("writing .tflite", 0, 1)
    steps, state = subject_program(subject), subject_state(subject)
    data = float_bytes(steps, state)
    (folder / FILE).write_bytes(data)
    interpreter, preprocess = MicroInterpreter(data), subject.preprocess
    return ExportedFormat(
        format=FORMAT,
        files=(FILE,),
        weight_bytes=sum(value.nbytes for value in state.values()),
        preprocessing=f"{normalisation(preprocess)}; the outputs are logits",
        probabilities=lambda images: class_probabilities(
            interpreter.outputs(_normalised(images, preprocess)).astype(np.float64), preprocess.temperature
        ),
        details=arena_details(interpreter),
    )


def subject_program(subject: ExportSubject) -> Program:
    """The program of the network, which is not one of timm: the job refuses these."""
    return program(cast(NetworkSpec, subject.network.spec))


def subject_state(subject: ExportSubject) -> dict[str, NDArray[np.float32]]:
    """The weights and biases of the folded network by name."""
    return {name: value.detach().numpy() for name, value in subject.deployed.state_dict().items()}


def normalisation(preprocess: Preprocess) -> str:
    """What the caller does with pixels, as the beginning of a sentence."""
    size, mean, deviation = preprocess.size, preprocess.mean, preprocess.deviation
    numbers = [", ".join(f"{value:.6g}" for value in values) for values in (mean, deviation)]
    return f"resize to {size}×{size} pixels, divide by 255, subtract {numbers[0]} and divide by {numbers[1]}"


def arena_details(interpreter: MicroInterpreter) -> dict[str, Any]:
    """What TensorFlow Lite Micro needs in memory for the file."""
    arena = interpreter.arena()
    return {"tflm_arena_bytes": arena["total"], "tflm_activation_bytes": arena["head"]}


def _normalised(images: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """Normalised images (N, H, W, C) of uint8 images of that shape."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return np.ascontiguousarray(normalise(pixels, preprocess).permute(0, 2, 3, 1).numpy())
