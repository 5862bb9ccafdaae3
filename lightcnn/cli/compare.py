"""`lightcnn compare`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.options import Debug, Json, Out, Quiet, print_json
from lightcnn.text import visible


class Metric(StrEnum):
    """What runs are compared by."""

    accuracy = "accuracy"
    balanced_accuracy = "balanced_accuracy"
    auc = "auc"
    all = "all"


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Folders of finished runs.")],
    metric: Annotated[Metric, typer.Option(help="What to compare by.")] = Metric.all,
    seed: Annotated[int, typer.Option(min=0, help="Of the sign flips, where there are too many to try all.")] = 0,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare runs on the same test images: paired tests, intervals, and what could not have been seen."""
    from lightcnn.comparing import job
    from lightcnn.comparing.terminal import ROWS, compare_table

    done = job.compare(runs, metric=metric.value, seed=seed, out=out)
    report = done.report
    if as_json:
        return print_json(report)
    console = Console(highlight=False)
    if not quiet:
        console.print(compare_table(report))
        console.print()
    for pair in report["pairs"][:ROWS]:
        console.print(Text(visible(pair["sentence"])), soft_wrap=True)
    if not quiet:
        for note in report["notes"]:
            console.print(Text(f"note: {visible(note)}"), soft_wrap=True)
        console.print(Text(f"run folder {done.path}: open {done / 'report.html'}"), soft_wrap=True)
    return None
