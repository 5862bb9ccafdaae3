"""`lightcnn profile`."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.options import Debug, Device, Json, Out, Quiet, print_json
from lightcnn.errors import InputError
from lightcnn.text import visible

WIDE = 400


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
            help="Specs, recipes, runs, ONNX files, names of timm; none: MicroMPoxNet and the paper's 11 baselines.",
        ),
    ] = None,
    input: Annotated[
        str | None, typer.Option(metavar="CxHxW", help="One input size for all; default: each its own.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also MicroMPoxNet and the paper's 11 baselines.")
    ] = False,
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Count, and do not time.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Of one inference.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Images at once for the throughput.")] = 4,
    runtime: Annotated[
        str, typer.Option(metavar="LIST", help="What runs them: folded, eager, onnx, onnx-int8, with commas between.")
    ] = "folded",
    device: Annotated[Device, typer.Option(help="Where to time.")] = Device.auto,
    memory: Annotated[
        bool, typer.Option("--memory", help="Measure the resident memory of each in a fresh process.")
    ] = False,
    accuracy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV of name,accuracy (0 to 1) for the accuracy columns.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also a table of the layers of each.")] = False,
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Order by a column; -COLUMN turns it round.")
    ] = None,
    columns: Annotated[str | None, typer.Option(metavar="LIST", help="Columns, with commas between.")] = None,
    format: Annotated[Format, typer.Option(help="Of the table on stdout.")] = Format.table,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Count and time networks side by side, and leave a run folder."""
    from lightcnn.output.terminal import StepsView
    from lightcnn.profiling.columns import require_columns
    from lightcnn.run_folder import RunFolder

    shape = _shape(input)
    names = require_columns(_list(columns), "--columns") if columns is not None else None
    if sort is not None:
        require_columns([sort.removeprefix("-")], "--sort")
    if out is not None:
        RunFolder.require_free(out)
    with StepsView(Console(stderr=True, highlight=False), quiet) as terminal:
        from lightcnn.profiling import job

        settings = job.Settings(
            input=shape, baselines=baselines, latency=not no_latency, memory=memory, threads=threads, batch=batch,
            runtimes=tuple(_list(runtime)), device=device.value, accuracy=accuracy,
        )  # fmt: skip
        done = job.run(targets or (), settings, out=out, progress=terminal.progress)
    report = done.report
    if as_json:
        print_json(report)
    else:
        _show(done, report, names, sort, format, layers, quiet)
    if report["failures"]:
        for failure in report["failures"] if not as_json else ():
            Console(stderr=True, highlight=False).print(
                Text(visible(f"lightcnn: profile: {failure['error']}")), soft_wrap=True
            )
        raise typer.Exit(1)


def _show(
    run: Any, report: Any, names: tuple[str, ...] | None, sort: str | None, format: Format, layers: bool, quiet: bool
) -> None:
    """The table on stdout; the rest as text around it where a person reads it, on stderr where a program may."""
    from lightcnn.profiling import columns, terminal
    from lightcnn.profiling.page import footer_lines

    rows = columns.sort_rows(report["rows"], sort)
    shown = names or columns.useful_columns(rows)
    # Where no terminal would break it, a table is as wide as it is.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    if rows and format is Format.table:
        console.print(terminal.table(rows, shown))
    elif rows:
        write = {Format.csv: columns.csv_table, Format.markdown: columns.markdown, Format.latex: columns.latex}
        typer.echo(write[format](rows, shown), nl=False)
    for row in rows if layers else ():
        console.print(terminal.layer_table(row["name"], report["layers"][row["name"]]))
    if quiet:
        return
    notes = Console(stderr=format is not Format.table, highlight=False)
    for line in (*footer_lines(report), report["convention"]):
        notes.print(Text(visible(line)), soft_wrap=True)
    notes.print(Text(f"run folder {run.path}: open {run / 'report.html'}"), soft_wrap=True)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _shape(text: str | None) -> tuple[int, int, int] | None:
    """An input size such as 3x224x224. Raises: InputError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,4})[x×](\d{1,5})[x×](\d{1,5})", text.strip().lower())
    sides = tuple(map(int, match.groups())) if match else ()
    if len(sides) != 3 or not all(sides):
        raise InputError(f"--input {text}: no input size; write channels, height and width, as in 3x224x224")
    return sides[0], sides[1], sides[2]
