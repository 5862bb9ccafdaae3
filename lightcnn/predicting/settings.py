"""The settings of `lightcnn predict`. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PredictSettings:
    """Which images are predicted, and with what.

    `folder` is a finished run or an exported file, `inputs` are image files and folders. An image whose highest
    probability is below `abstain_below` is predicted as "abstained". `labels` is a file with one class name per line,
    and `input` (C, H, W) the input size, of an ONNX file that lightcnn did not write.
    """

    folder: Path
    inputs: tuple[Path, ...]
    device: str = "auto"
    abstain_below: float = 0.0
    labels: Path | None = None
    input: tuple[int, int, int] | None = None
