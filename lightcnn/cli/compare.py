"""`lightcnn compare`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lightcnn.cli import completion
from lightcnn.cli.options import Debug, Json, Out, Quiet, print_json
from lightcnn.comparing.settings import ALL_METRICS, METRIC_CHOICES, CompareSettings
from lightcnn.output.console import CommandConsole

# mypy cannot see the members of an enum whose names are in another module.
Metric = StrEnum("Metric", [(name, name) for name in METRIC_CHOICES], module=__name__)  # type: ignore[misc]
ALL = Metric(ALL_METRICS)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN ...", autocompletion=completion.run_folders, help="Folders of two or more finished runs."
        ),
    ],
    metric: Annotated[Metric, typer.Option(help="Metric to compare by.")] = ALL,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Random seed of the sign flips, used if there are too many to try all."),
    ] = 0,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare runs on the same test images with paired tests, intervals and the smallest detectable difference."""
    from lightcnn.comparing import job
    from lightcnn.comparing.terminal import MAX_ROWS, compare_table, difference_lines, other_warnings, runs_table

    run = job.run(CompareSettings(runs=tuple(map(str, runs)), metric=metric.value, seed=seed), out=out)
    report = run.report
    if as_json:
        return print_json(report)
    console = CommandConsole()
    for pair in report["pairs"][:MAX_ROWS]:
        console.print_line(pair["sentence"])
    if not quiet:
        console.print()
        for rows in (runs_table(report, width=console.width), compare_table(report, width=console.width)):
            console.print(rows)
            console.print()
    for line in difference_lines(report, all_pairs=not quiet):
        console.print_line(line)
    if not quiet:
        for message in other_warnings(report):
            console.print_line(f"warning: {message}")
        for note in report["notes"]:
            console.print_line(f"note: {note}")
        console.print_line(f"run folder {run.path}: open {run / 'report.html'}")
    return None
