"""`lightcnn predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lightcnn.cli import completion
from lightcnn.cli.options import AUTO, Debug, Device, Json, Quiet, print_json
from lightcnn.errors import InputError
from lightcnn.image_size import parse_input_option
from lightcnn.output.console import CommandConsole
from lightcnn.predicting.settings import PredictSettings


def predict(
    run_folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL.onnx",
            autocompletion=completion.run_folders,
            help="Folder of a finished run, or an ONNX file, which is run without PyTorch.",
        ),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER ...", help="Image files, or their folders.")],
    abstain_below: Annotated[
        float, typer.Option(metavar="P", help='Predict "abstained" if the highest probability is below P.')
    ] = 0.0,
    csv_to: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a new file, or to stdout if FILE is -.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Class names of an ONNX file that lightcnn did not write, one per line."),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="CxHxW",
            help="Input size of such a file; it gets uint8 pixels (N, H, W, C), or floats (N, C, H, W) from 0 to 1.",
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Device on which the network of a run is run.")] = AUTO,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict the classes of images with a run or an exported file, and print their probabilities."""
    if csv_to == "-" and as_json:
        raise InputError("--csv -: --json already writes to stdout; give --csv a file")
    settings = PredictSettings(
        run_folder, tuple(images), device=device.value, abstain_below=abstain_below, labels=labels,
        input=None if input is None else parse_input_option(input),
    )  # fmt: skip
    _predict(settings, csv_to, as_json=as_json, quiet=quiet)


def _predict(settings: PredictSettings, csv_to: str | None, *, as_json: bool, quiet: bool) -> None:
    """Predicts into CSV, JSON, or else a table; messages are printed on stderr."""
    from lightcnn.data.files.walk import run_folder_warnings
    from lightcnn.output.terminal import StepsView
    from lightcnn.predicting import job
    from lightcnn.predicting.outputs import Csv, CsvFile, Document, Sink, Table
    from lightcnn.predicting.report import report_document, require_all_predicted

    console = CommandConsole(stderr=True)
    document = Document()
    sinks: list[Sink] = [document] if as_json else []
    if csv_to is not None:
        sinks.append(Csv(lambda line: typer.echo(line, nl=False)) if csv_to == "-" else CsvFile(Path(csv_to)))
    list_skipped = not quiet and not as_json  # the document has what was skipped, and the warnings

    def print_skipped(skipped: Any) -> None:
        if list_skipped:
            console.print_line(f"skipped: {skipped.image} {skipped.reason}")

    # A progress bar and lines on the same terminal would overwrite each other.
    prints_lines = not as_json and csv_to in (None, "-")
    with StepsView(console, quiet or (prints_lines and sys.stdout.isatty())) as view:
        result = job.run(settings, sinks or [Table(typer.echo)], on_skip=print_skipped, progress=view)
    if as_json:
        print_json(report_document(settings, result, document.predictions))
    if result.note and not quiet:
        console.print_line(f"note: {result.note}")
    for warning in [] if quiet else result.warnings:
        console.print_line(f"warning: {warning.message}")
    if not quiet and result.ignored:
        console.print_line(f"ignored {result.ignored:,} files that do not have the name of an image")
    for warning in run_folder_warnings(result.run_folders) if not quiet else ():
        console.print_line(f"warning: {warning.message}")
    if csv_to not in (None, "-") and not quiet:
        console.print_line(f"{result.predicted:,} predictions were written to {csv_to}")
    require_all_predicted(result, listed=list_skipped)
