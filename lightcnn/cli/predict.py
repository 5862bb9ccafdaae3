"""`lightcnn predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.options import Debug, Device, Json, Quiet, print_json
from lightcnn.errors import InputError
from lightcnn.text import visible


def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER ...", help="Files, or folders of them.")],
    abstain_below: Annotated[
        float, typer.Option(metavar="P", help='Predict "abstained" where the highest probability is lower.')
    ] = 0.0,
    csv_to: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a fresh file, or to stdout with -.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to predict.")] = Device.auto,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict the classes of images with the network of a run, and print their probabilities."""
    from lightcnn.predicting.job import LineFile, Prediction

    if csv_to == "-" and as_json:
        raise InputError("--csv -: stdout is taken by --json; give --csv a file")
    prediction = Prediction(run_folder, images, device=device.value, abstain_below=abstain_below)
    if csv_to is None or csv_to == "-":
        write = (lambda line: typer.echo(line, nl=False)) if csv_to else None
        return _predict(prediction, write, lines=not as_json, as_json=as_json, quiet=quiet)
    with LineFile(Path(csv_to)) as file:
        return _predict(prediction, file.write, lines=False, as_json=as_json, quiet=quiet)


def _predict(prediction: Any, write_csv: Any, *, lines: bool, as_json: bool, quiet: bool) -> None:
    """Predicts into CSV, JSON or else a table; `lines`: stdout gets lines while it goes. Messages go to stderr."""
    from lightcnn.output.terminal import StepsView
    from lightcnn.predicting.job import Csv, Document, Sink, Table

    console = Console(stderr=True, highlight=False)
    document = Document()
    sinks: list[Sink] = [document] if as_json else []
    if write_csv is not None:
        sinks.append(Csv(write_csv))

    listed = not quiet and not as_json

    def told(skipped: Any) -> None:
        if listed:
            console.print(Text(visible(f"skipped: {skipped.image} {skipped.reason}")), soft_wrap=True)

    # A bar and lines on one terminal would overwrite each other.
    with StepsView(console, quiet or (lines and sys.stdout.isatty())) as view:
        prediction.conduct(sinks or [Table(typer.echo)], skip=told, progress=view.progress)
    if as_json:
        print_json(prediction.document(document.predictions))
    if not quiet and prediction.found.ignored:
        console.print(Text(f"passed over {prediction.found.ignored:,} files that are no images by name"))
    prediction.require_whole(listed=listed)
