"""`lightcnn.export`: exports the network of a run from Python."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightcnn.data.sources.arrays import given
from lightcnn.errors import InputError
from lightcnn.exporting import job
from lightcnn.exporting.job import Export
from lightcnn.exporting.settings import DEFAULT_FORMATS, ExportSettings, parse_formats
from lightcnn.own_module import given_module
from lightcnn.python_calls import python_call
from lightcnn.run_folder import RunFolder


@python_call
def export(
    run: RunFolder | str | Path,
    to: str | Sequence[str] = DEFAULT_FORMATS,
    *,
    check: str | None = None,
    max_loss_points: float = 1.0,
    data: Any = None,
    groups: Any = None,
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
) -> Export:
    """Exports the network of a run for other runtimes and for microcontrollers.

    Args:
        run: A finished run of `train` or `search`, or its folder.
        to: Names of formats (`lightcnn list formats`), or one text in which commas separate them.
        check: Processor on which the C files are run in an emulator: `cortex-m3`, `cortex-m4` or `cortex-m7`.
        max_loss_points: How many percentage points of accuracy on the validation set a file in int8 may lose.
        data: Data to use in place of the run's, for calibration, accuracy and comparison. Of a run whose images were
            arrays (X, y), these arrays again, which int8 formats need; or a PyTorch data set of (image, label).
        groups: For arrays, the patient or photograph of each image (N,).
        data_dir: Folder of published data sets; that of the run's recipe by default.
        out: Folder to write, which must not exist; a new folder under `runs/` by default.

    Returns:
        The folder, and the content of its export.json, in which `refused` lists the formats that were not kept.

    Raises:
        InputError: The run, a format or an option cannot be used, or an extra is not installed.
        LightcnnError: No format could be written.

    Example:
        >>> export = lightcnn.export("runs/short", "onnx", out="exported")
        >>> export.report["formats"][0]["files"]
        ['model.onnx']
    """
    if data is None and groups is not None:
        raise InputError("export: groups without data; give the images as data=(X, y), too")
    folder = run.path if isinstance(run, RunFolder) else Path(run)
    module = run.module if isinstance(run, RunFolder) else None
    with nullcontext("") if data is None else given(data, groups) as source, given_module(module):
        settings = ExportSettings(
            folder, parse_formats(to), check=check, max_loss_points=max_loss_points, data=source or None,
            data_dir=None if data_dir is None else Path(data_dir),
        )  # fmt: skip
        return job.run(settings, out=out)
