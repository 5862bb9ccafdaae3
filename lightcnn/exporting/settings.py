"""What `lightcnn export` is asked to do, and the checks that need no torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from lightcnn.errors import InputError
from lightcnn.exporting.formats import FORMATS
from lightcnn.run_folder import NETWORK_FILES, RunFolder
from lightcnn.text import not_one_of

DEFAULT_FORMATS = ("onnx",)
PROCESSORS = {"cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
"""Processors that `--check` emulates, and the board of QEMU that has each."""
COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
TOOL_PACKAGES = {COMPILER: "gcc-arm-none-eabi", EMULATOR: "qemu-system-arm"}
"""Debian packages of the tools of `--check`. No C library is needed."""


@dataclass(frozen=True)
class ExportSettings:
    """The input of `lightcnn export`.

    `run` is the folder of the run. `check` is the processor on which the C files are run. A file in int8 is refused if
    it loses more than `max_loss_points` percentage points of accuracy on the validation set. `data` is used in place
    of the run's data.
    """

    run: Path
    formats: tuple[str, ...] = DEFAULT_FORMATS
    check: str | None = None
    max_loss_points: float = 1.0
    data: str | None = None
    data_dir: Path | None = None


def parse_formats(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names of formats, as a sequence or separated by commas, each once. Raises: InputError for an unknown name."""
    parts = names.split(",") if isinstance(names, str) else names
    formats = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not formats:
        raise InputError(f"--to: no format is named; give one or several of {', '.join(FORMATS)}, separated by commas")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"--to: {not_one_of(name, FORMATS)}")
    return formats


def require_usable(settings: ExportSettings) -> RunFolder:
    """The run to export. Raises: InputError if it, a format or another setting cannot be used."""
    parse_formats(settings.formats)
    _require_check(settings)
    points = settings.max_loss_points
    if isinstance(points, bool) or not isinstance(points, int | float) or not (isfinite(points) and 0 <= points <= 100):
        raise InputError(f"--max-loss-points {points}: must be a number of percentage points from 0 to 100")
    run = RunFolder.load(settings.run)
    run.require(*NETWORK_FILES)
    for name in settings.formats:
        FORMATS[name].require_installed()
    return run


def _require_check(settings: ExportSettings) -> None:
    """Raises: InputError if `check` is no processor, no C is written that it could run, or a tool is missing."""
    if settings.check is None:
        return
    if "c" not in settings.formats:
        formats = ",".join((*settings.formats, "c"))
        raise InputError(f"--check {settings.check}: runs the C files, so it needs the format c; give --to {formats}")
    require_tools(settings.check)


def require_tools(processor: str) -> None:
    """Raises: InputError if the processor is unknown, or the compiler or the emulator is missing."""
    if processor not in PROCESSORS:
        raise InputError(f"--check {processor}: unknown processor; use one of {', '.join(PROCESSORS)}")
    missing = [tool for tool in TOOL_PACKAGES if shutil.which(tool) is None]
    if missing:
        packages = " ".join(TOOL_PACKAGES[tool] for tool in missing)
        raise InputError(
            f"--check {processor}: {' and '.join(missing)} not found; "
            f"run apt-get install --no-install-recommends {packages}"
        )
