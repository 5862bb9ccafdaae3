"""The formats of `lightcnn export`: their names, what they are, and the function that writes each. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lightcnn.errors import InputError
from lightcnn.onnxfiles.extra import PACKAGES as ONNX_PACKAGES
from lightcnn.progress import Progress

if TYPE_CHECKING:
    from lightcnn.exporting.subject import ExportedFormat, ExportSubject


@dataclass(frozen=True)
class ExportFormat:
    """A format: its name, a line that describes it, the extra that it needs ("" for none), and where it is written.

    The function `write` of `module` takes the subject, an existing folder and the progress, and returns the files.
    `packages` are those of the extra, by the names with which they are imported. A format in int8 (`is_int8`) needs
    training images for its calibration and validation images; one that `needs_spec` is written from lightcnn's blocks,
    so that networks of timm cannot have it. `is_timed`: whether its runtime is timed on this machine.
    """

    name: str
    description: str
    extra: str
    module: str
    packages: tuple[str, ...] = ()
    is_int8: bool = False
    needs_spec: bool = False
    is_timed: bool = True

    @property
    def write(self) -> Callable[[ExportSubject, Path, Progress], ExportedFormat]:
        """The function that writes the format. Imports what the format needs."""
        function: Callable[[ExportSubject, Path, Progress], ExportedFormat] = import_module(self.module).write
        return function

    def require_installed(self) -> None:
        """Raises: InputError with the pip command if a package of the extra is missing."""
        for package in self.packages:
            if find_spec(package) is None:
                raise InputError(f'--to {self.name}: {package} is not installed; pip install "lightcnn[{self.extra}]"')


FORMATS: dict[str, ExportFormat] = {
    each.name: each
    for each in (
        ExportFormat(
            "onnx", "ONNX in fp32, with the preprocessing in the graph", "onnx",
            "lightcnn.exporting.onnx_formats.onnx_file",
            packages=ONNX_PACKAGES,
        ),
        ExportFormat(
            "onnx-int8", "ONNX in int8, calibrated on training images", "onnx",
            "lightcnn.exporting.onnx_formats.onnx_int8",
            packages=ONNX_PACKAGES, is_int8=True,
        ),
        ExportFormat(
            "c", "C99 in int8 for microcontrollers, without a heap", "", "lightcnn.exporting.c.generate",
            is_int8=True, needs_spec=True, is_timed=False,
        ),
        ExportFormat(
            "tflite", "TensorFlow Lite in fp32, run by TensorFlow Lite Micro", "tflite",
            "lightcnn.exporting.tflite.float_file", packages=("tflite_micro",), needs_spec=True, is_timed=False,
        ),
        ExportFormat(
            "tflite-int8", "TensorFlow Lite in int8, run by TensorFlow Lite Micro", "tflite",
            "lightcnn.exporting.tflite.int8_file", packages=("tflite_micro",), is_int8=True, needs_spec=True,
            is_timed=False,
        ),
        ExportFormat("pt2", "program of torch.export, with normalisation and softmax", "", "lightcnn.exporting.pt2"),
        ExportFormat(
            "hub", "folder for Hugging Face: card, weights, example", "", "lightcnn.exporting.hub", is_timed=False,
        ),
    )
}  # fmt: skip
