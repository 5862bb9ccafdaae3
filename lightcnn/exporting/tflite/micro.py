"""The extra `tflite`: TensorFlow Lite Micro's interpreter, and the classes of the format that it comes with."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError, LightcnnError
from lightcnn.text import first_line

MAX_ARENA_BYTES = 256_000_000
"""Arena that the interpreter may use; what it needs is measured."""
ARENA_PARTS = ("total", "head", "tail")
"""All of the arena, its activations, and its bookkeeping."""


def schema() -> Any:
    """The module with the classes of the format. Raises: InputError if the extra is not installed."""
    return _module("tensorflow.lite.micro.python.schema_py_generated")


class MicroInterpreter:
    """TensorFlow Lite Micro with a file. Raises: LightcnnError if it cannot run the file."""

    def __init__(self, data: bytes) -> None:
        interpreter = _module("python.tflite_micro.runtime").Interpreter
        self._interpreter = _run(lambda: interpreter.from_bytes(data, arena_size=MAX_ARENA_BYTES))

    def outputs(self, images: NDArray[Any]) -> NDArray[Any]:
        """The outputs (N, classes) for images (N, H, W, C), in the types of the file."""
        return np.stack(_run(lambda: [self._output(image) for image in images]))

    def _output(self, image: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_input(image[None], 0)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_output(0)).reshape(-1).copy()

    def arena(self) -> dict[str, int]:
        """The bytes of each of `ARENA_PARTS`, which the interpreter prints."""
        printed = _standard_error(self._interpreter.print_allocations)
        sizes = dict(re.findall(r"Arena allocation (\w+) (\d+) bytes", printed))
        return {part: int(sizes[part]) for part in ARENA_PARTS}


def _module(name: str) -> Any:
    try:
        return import_module(f"tflite_micro.{name}")
    except ImportError:
        raise InputError('--to tflite: tflite-micro is not installed; pip install "lightcnn[tflite]"') from None


def _run(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (RuntimeError, ValueError) as error:
        raise LightcnnError(f"TensorFlow Lite Micro cannot run the file: {first_line(error)}") from error


def _standard_error(work: Callable[[], object]) -> str:
    """What `work` writes to the standard error of the process."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            work()
        finally:
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        return file.read().decode()
