"""The formats of `lightcnn export`: their names, what they are, and the function that writes each. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lightcnn.progress import Progress

if TYPE_CHECKING:
    from lightcnn.exporting.subject import ExportedFormat, ExportSubject


@dataclass(frozen=True)
class Format:
    """A format: its name, a line that describes it, the extra that it needs ("" for none), and where it is written.

    The function `write` of `module` takes the subject, an existing folder and the progress, and returns the files.
    """

    name: str
    description: str
    extra: str
    module: str

    @property
    def write(self) -> Callable[[ExportSubject, Path, Progress], ExportedFormat]:
        """The function that writes the format. Imports what the format needs."""
        function: Callable[[ExportSubject, Path, Progress], ExportedFormat] = import_module(self.module).write
        return function


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("onnx", "ONNX in fp32, with the preprocessing in the graph", "onnx", "lightcnn.exporting.onnx_file"),
        Format("onnx-int8", "ONNX in int8, calibrated on training images", "onnx", "lightcnn.exporting.onnx_int8"),
        Format("c", "C99 in int8 for microcontrollers, without a heap", "", "lightcnn.exporting.c.generate"),
    )
}
