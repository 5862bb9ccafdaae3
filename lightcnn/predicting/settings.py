"""The settings of `lightcnn predict`. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PredictSettings:
    """Which images are predicted, and with what.

    `folder` is a finished run, `inputs` are image files and folders. An image whose highest probability is below
    `abstain_below` is predicted as "abstained".
    """

    folder: Path
    inputs: tuple[Path, ...]
    device: str = "auto"
    abstain_below: float = 0.0
