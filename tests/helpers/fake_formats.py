"""Formats of `lightcnn export` that need no other runtime: PyTorch's own predictions, changed in a chosen way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn.exporting.formats import ExportFormat
from lightcnn.exporting.subject import ExportedFormat, ExportSubject, NumberTypes
from lightcnn.inference import probabilities
from lightcnn.progress import Progress

Numbers = NDArray[np.float64]
INT8 = NumberTypes(frozenset({"int8"}), frozenset({"uint8"}))
DEVICE = {
    "target": "cortex-m4", "flash_bytes": 87_096, "arena_bytes": 11_760, "stack_bytes": 215,
    "instructions": 15_100_000, "answers_equal": True,
}  # fmt: skip


def same(predicted: Numbers) -> Numbers:
    """The predictions of PyTorch."""
    return predicted


def reversed_classes(predicted: Numbers) -> Numbers:
    """Wrong predictions."""
    return predicted[:, ::-1]


def slightly_off(predicted: Numbers) -> Numbers:
    """Predictions that differ by more than rounding."""
    return predicted + 1e-4


@dataclass(frozen=True)
class FakeFormat(ExportFormat):
    """Writes the files `names` with a few bytes; its predictions are `change` of those of PyTorch.

    `before` is called with the subject and the folder before anything is written. `device` is what an emulator shows.
    """

    change: Callable[[Numbers], Numbers] = same
    before: Callable[[ExportSubject, Path], Any] = lambda subject, folder: None
    names: tuple[str, ...] = ("model.bin",)
    device: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def write(self) -> Callable[[ExportSubject, Path, Progress], ExportedFormat]:
        """The function that writes the format."""
        return self._write

    def _write(self, subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
        self.before(subject, folder)
        for name in self.names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"12345")
        (folder / "scratch").write_bytes(b"not listed")
        progress(f"writing {self.name}", 1, 1)
        device = self.device

        def predict(images: NDArray[np.uint8]) -> Numbers:
            size, channels = subject.preprocess.size, subject.preprocess.channels
            assert images.dtype == np.uint8 and images.shape[1:] == (size, size, channels)
            pixels = torch.from_numpy(images).movedim(3, 1)
            return self.change(probabilities(subject.deployed, pixels, subject.preprocess))

        return ExportedFormat(
            self.name, self.names, 40, "Do not normalise.", predict,
            number_types=INT8 if self.is_int8 else None,
            emulate=None if device is None else lambda target, images: {**device, "target": target},
            details={"opset": 20},
        )  # fmt: skip


def fake(
    name: str, *, is_int8: bool = False, is_timed: bool = True, needs_spec: bool = False, **values: Any
) -> ExportFormat:
    """A format that is not imported from a module and needs no extra."""
    return FakeFormat(
        name, f"{name} of a test", "", "", is_int8=is_int8, is_timed=is_timed, needs_spec=needs_spec, **values
    )
