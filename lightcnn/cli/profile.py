"""`lightcnn profile`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lightcnn.cli import completion
from lightcnn.cli.options import AUTO, Debug, Device, Json, Out, Quiet, print_json
from lightcnn.image_size import parse_input_option
from lightcnn.measurement.runtime_names import FOLDED, MAX_THREADS, RUNTIMES
from lightcnn.output.caveats import warning_lines
from lightcnn.output.console import CommandConsole


class Format(StrEnum):
    """How the table of networks is printed."""

    table = "table"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"


def profile(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET ...",
            autocompletion=completion.targets,
            help="Specs, recipes, run folders, ONNX files or timm models "
            "(default: MicroMPoxNet and the 11 baselines of its paper).",
        ),
    ] = None,
    input: Annotated[
        str | None, typer.Option(metavar="CxHxW", help="Input size of all networks (default: each network's own).")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Add MicroMPoxNet and the 11 baselines of its paper.")
    ] = False,
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Count only, without timing.")] = False,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, max=MAX_THREADS, help="Number of threads of one inference.")
    ] = 1,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Batch size for the throughput.")] = 4,
    runtime: Annotated[
        str, typer.Option(metavar="LIST", help=f"Runtimes to time, separated by commas: {', '.join(RUNTIMES)}.")
    ] = FOLDED,
    device: Annotated[Device, typer.Option(help="Device on which networks are timed.")] = AUTO,
    memory: Annotated[
        bool, typer.Option("--memory", help="Measure the peak memory of each network in a new process.")
    ] = False,
    accuracy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV file with the columns name and accuracy (0 to 1).")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Print the layers of each network as well.")] = False,
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Sort by COLUMN; -COLUMN sorts in descending order.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="LIST", help="Columns of the table, separated by commas.")
    ] = None,
    format: Annotated[Format, typer.Option(help="Format of the table on stdout.")] = Format.table,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare the costs of networks, counted and measured, and write a run folder."""
    from lightcnn.output.terminal import StepsView
    from lightcnn.profiling.columns import require_columns
    from lightcnn.profiling.settings import ProfileSettings
    from lightcnn.run_folder import RunFolder

    shape = None if input is None else parse_input_option(input)
    names = require_columns(_list(columns), "--columns") if columns is not None else None
    if sort is not None:
        require_columns([sort.removeprefix("-")], "--sort")
    if out is not None:
        RunFolder.require_free(out)
    with StepsView(CommandConsole(stderr=True), quiet) as terminal:
        from lightcnn.profiling import job

        settings = ProfileSettings(
            input=shape, baselines=baselines, latency=not no_latency, memory=memory, threads=threads, batch=batch,
            runtimes=tuple(_list(runtime)), device=device.value, accuracy=accuracy,
        )  # fmt: skip
        run = job.run(targets or (), settings, out=out, progress=terminal)
    report = run.report
    if as_json:
        print_json(report)
    else:
        _show(run, report, names, sort, format, layers, quiet)
    if report["failures"]:
        for failure in report["failures"] if not as_json else ():
            CommandConsole(stderr=True).print_line(f"lightcnn: profile: {failure['error']}")
        raise typer.Exit(1)


def _show(
    run: Any, report: Any, names: tuple[str, ...] | None, sort: str | None, format: Format, layers: bool, quiet: bool
) -> None:
    """Prints the table on stdout, and the notes below it; if a program may read the table, notes go to stderr."""
    from lightcnn.profiling import columns, terminal
    from lightcnn.profiling.page import footer_lines

    rows = columns.sort_rows(report["rows"], sort)
    chosen = names or columns.useful_columns(rows)
    console = CommandConsole()
    left_out = 0
    if rows and format is Format.table:
        shown = names or terminal.fitting(rows, chosen, console.width)
        left_out = len(chosen) - len(shown)
        console.print(terminal.table(rows, shown))
    elif rows:
        write = {Format.csv: columns.csv_table, Format.markdown: columns.markdown, Format.latex: columns.latex}
        typer.echo(write[format](rows, chosen), nl=False)
    for row in rows if layers else ():
        console.print(terminal.layer_table(row["name"], report["layers"][row["name"]]))
    if quiet:
        return
    notes = CommandConsole(stderr=format is not Format.table)
    for line in (*warning_lines(report), *footer_lines(report), report["convention"]):
        notes.print_line(line)
    if left_out:
        notes.print_line(f"{left_out} columns do not fit into {console.width} characters: report.html has them")
    notes.print_line(f"run folder {run.path}: open {run / 'report.html'}")


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
