"""`lightcnn export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lightcnn.cli import completion
from lightcnn.cli.options import DataDir, Debug, Json, Quiet, print_json
from lightcnn.exporting.formats import FORMATS
from lightcnn.exporting.settings import DEFAULT_FORMATS, PROCESSORS, ExportSettings, parse_formats, require_usable
from lightcnn.output.console import CommandConsole
from lightcnn.run_folder import RunFolder

Processor = StrEnum("Processor", [(name, name) for name in PROCESSORS], module=__name__)  # type: ignore[misc]
"""What `--check` accepts."""


def export(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", autocompletion=completion.run_folders, help="Folder of a finished run.")
    ],
    to: Annotated[
        str, typer.Option(metavar="LIST", help=f"Formats to write, separated by commas: {', '.join(FORMATS)}.")
    ] = ",".join(DEFAULT_FORMATS),
    check: Annotated[
        Processor | None,
        typer.Option(
            help="Run the C files on this processor, emulated, with real test images. If the run is a search with "
            "limits of flash or arena, files that exceed them do not link."
        ),
    ] = None,
    max_loss_points: Annotated[
        float,
        typer.Option(
            metavar="P",
            help="Refuse a file in int8 that loses more than P percentage points of accuracy on the validation set.",
        ),
    ] = 1.0,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            autocompletion=completion.data_sets,
            help="Data for calibration and comparison (default: the run's own).",
        ),
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder to write (default: a new folder under runs/).")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Export a run's network to files for other runtimes and microcontrollers, and compare each with PyTorch."""
    settings = ExportSettings(
        run_folder, parse_formats(to), check=check and check.value, max_loss_points=max_loss_points, data=data,
        data_dir=data_dir,
    )  # fmt: skip
    if out is not None:
        RunFolder.require_free(out)
    require_usable(settings)
    result = _run(settings, out, quiet)
    if as_json:
        print_json(result.report)
    else:
        _print_result(result, quiet)
    for refusal in result.report["refused"]:
        CommandConsole(stderr=True).print_line(f"lightcnn: export: {refusal['reason']}")
    if result.report["refused"]:
        raise typer.Exit(1)


def _run(settings: ExportSettings, out: Path | None, quiet: bool) -> Any:
    """Exports, with a bar for each step on stderr."""
    from lightcnn.output.terminal import StepsView

    with StepsView(CommandConsole(stderr=True), quiet) as view:
        from lightcnn.exporting import job

        return job.run(settings, out=out, progress=view)


def _print_result(result: Any, quiet: bool) -> None:
    """The table of formats, what it was measured on, and where the files are."""
    from lightcnn.exporting.terminal import format_table
    from lightcnn.exporting.wording import sentences
    from lightcnn.output.caveats import warning_lines

    console = CommandConsole()
    console.print(format_table(result.report, width=console.width))
    if quiet:
        return
    for line in (*warning_lines(result.report), *sentences(result.report)):
        console.print_line(line)
    console.print_line(f"exported to {result.path}: open {result.path / 'report.html'}")
