"""`lightcnn compare`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightcnn.commands.options import Debug, Json, Out, Quiet, print_json
from lightcnn.page import visible

ROWS = 30
"""Pairs that the terminal shows; report.html has all."""


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
    from lightcnn.comparison import job

    done = job.compare(runs, metric=metric.value, seed=seed, out=out)
    report = done.report
    if as_json:
        return print_json(report)
    console = Console(highlight=False)
    if not quiet:
        console.print(_table(report))
        console.print()
    for pair in report["pairs"][:ROWS]:
        console.print(Text(visible(pair["sentence"])), soft_wrap=True)
    if not quiet:
        for note in report["notes"]:
            console.print(Text(f"note: {visible(note)}"), soft_wrap=True)
        console.print(Text(f"run folder {done.path}: open {done / 'report.html'}"), soft_wrap=True)
    return None


def _table(report: Mapping[str, Any]) -> Table:
    """A row a pair, in points for the accuracies."""
    from lightcnn.comparison.words import TITLES

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("a", "b", "metric", "a − b", "95 % interval", "p", "p by Holm", "test"):
        table.add_column(name, justify="right" if name in ("a − b", "95 % interval", "p", "p by Holm") else "left")
    for pair in report["pairs"][:ROWS]:
        scale, digits = (1, 3) if pair["metric"] == "auc" else (100, 1)
        low, high = (None if pair[edge] is None else scale * pair[edge] for edge in ("low", "high"))
        interval = "unknown" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
        cells = (
            pair["a"], pair["b"], TITLES[pair["metric"]], f"{scale * pair['difference']:+.{digits}f}",
            interval, _chance(pair["p"]), _chance(pair["p_adjusted"]), pair["test"],
        )  # fmt: skip
        table.add_row(*(Text(visible(cell)) for cell in cells))
    if len(report["pairs"]) > ROWS:
        table.add_row(f"and {len(report['pairs']) - ROWS} more in report.html")
    return table


def _chance(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
