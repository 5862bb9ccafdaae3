"""`lightcnn audit`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lightcnn import document
from lightcnn.cli import completion
from lightcnn.cli.options import DataDir, Debug, Json, Out, Quiet, RequireData, print_json
from lightcnn.output.caveats import warning_lines
from lightcnn.output.console import CommandConsole
from lightcnn.recipe import PRESETS


def audit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            autocompletion=completion.data_sets,
            help="Data set: a folder of class folders, a .csv, .tar shards, a .npz, or a name.",
        ),
    ],
    fast: Annotated[bool, typer.Option("--fast", help="Omit the search for near duplicates.")] = False,
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET", help=f"Augmentation preset to show on some of the images: {', '.join(PRESETS)}."
        ),
    ] = None,
    data_dir: DataDir = None,
    skip_corrupt: Annotated[
        bool,
        typer.Option("--skip-corrupt", help="No effect: an audit always lists unreadable files and continues."),
    ] = False,
    require_data: RequireData = False,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check a labelled image data set for problems before training on it, and write a run folder."""
    from lightcnn.auditing.settings import AuditSettings
    from lightcnn.output.terminal import StepsView
    from lightcnn.recipe import Reading
    from lightcnn.run_folder import RunFolder

    if out is not None:
        RunFolder.require_free(out)
    reading = Reading(data_dir=str(data_dir) if data_dir else None, require_data=require_data)
    values = {"source": source, "reading": reading, "fast": fast, "augment": augment}
    settings = document.make(AuditSettings, values, "audit")
    with StepsView(CommandConsole(stderr=True), quiet) as view:
        from lightcnn.auditing import job

        run = job.run(settings, out=out, progress=view)
    _show_audit(run, as_json, quiet)


def _show_audit(run: Any, as_json: bool, quiet: bool) -> None:
    """Prints the verdict, the findings, and where the report is."""
    from lightcnn.auditing.settings import VERDICT_WARNINGS
    from lightcnn.auditing.terminal import audit_tables

    report = run.report
    if as_json:
        return print_json(report)
    console = CommandConsole()
    console.print_line(report["verdict"])
    if not quiet:
        console.print()
        console.print(audit_tables(report, width=console.width))
        console.print()
        for line in warning_lines(report, omit=VERDICT_WARNINGS):
            console.print_line(line)
        console.print_line(f"run folder {run.path}: open {run / 'report.html'}")
    return None
