"""The settings of `lightcnn profile`. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightcnn.measurement.runtime_names import FOLDED
from lightcnn.spec import Shape

TIMING_SECONDS = 45.0
"""Duration of the timing rounds, for all networks together."""


@dataclass(frozen=True)
class ProfileSettings:
    """What `lightcnn profile` does with each network.

    `input` (C, H, W) is the image size of all networks; None: each its own. `baselines` adds MicroMPoxNet and the
    paper's baselines. `runtimes`, `device`, `threads` (of one inference), `batch` (images at once, for the throughput)
    and `seconds` (of all timing rounds) apply if `latency` is True. `accuracy` is a CSV file of names,
    accuracies, and the input sizes at which they were measured.
    """

    input: Shape | None = None
    baselines: bool = False
    latency: bool = True
    memory: bool = False
    threads: int = 1
    batch: int = 4
    runtimes: tuple[str, ...] = (FOLDED,)
    device: str = "auto"
    accuracy: Path | None = None
    seconds: float = TIMING_SECONDS


DEFAULT_SETTINGS = ProfileSettings()
