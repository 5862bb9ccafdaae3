"""What the terminal shows of a comparison: the table of its pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from lightcnn.comparing.settings import METRICS
from lightcnn.output.caveats import warnings_beside_notes
from lightcnn.output.terminal import fitted_table
from lightcnn.text import visible

MAX_ROWS = 30
"""Pairs that the terminal shows; report.html has all of them."""


def run_cells(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The scores of a run, and the accuracy of always predicting the largest class; for the page too."""
    scores = (_format_score(metric, run["scores"][metric]) for metric in METRICS)
    largest = run["largest_class"]
    cell = "unknown" if largest is None else f"{largest['accuracy']:.2%} ({largest['class'] or 'several classes'})"
    return (*scores, cell)


def _format_score(metric: str, score: Mapping[str, float] | None) -> str:
    form = ".4f" if metric == "auc" else ".2%"
    if score is None:
        return "undefined"
    return f"{score['value']:{form}} ({score['low']:{form}} to {score['high']:{form}})"


def runs_table(report: Mapping[str, Any], *, width: int) -> Table:
    """One row per run: its scores with 95 % intervals; fewer of them if it is narrow."""
    header = ("run", *METRICS.values(), "largest class")
    cells = [[visible(cell) for cell in (run["name"], *run_cells(run))] for run in report["runs"]]
    optional = ("largest class", METRICS["auc"], METRICS["balanced_accuracy"])
    return fitted_table(header, cells, optional=optional, width=width, left=("run",))


def difference_lines(report: Mapping[str, Any], *, all_pairs: bool) -> list[str]:
    """What differs between the runs of each pair; without `all_pairs`, of those that were not trained equally."""
    entries = [entry for entry in report["differences"] if all_pairs or not entry["equal_training"]]
    more = [f"and {len(entries) - MAX_ROWS} more in report.html"] if len(entries) > MAX_ROWS else []
    return [*(entry["sentence"] for entry in entries[:MAX_ROWS]), *more]


def other_warnings(report: Mapping[str, Any]) -> list[str]:
    """The warnings that neither the notes nor the sentences on differences state; for the page too."""
    stated = {entry["message"] for entry in report["warnings"] if entry["code"] == "unequal_training"}
    return [message for message in warnings_beside_notes(report) if message not in stated]


def compare_table(report: Mapping[str, Any], *, width: int) -> Table:
    """One row per pair; differences of accuracies are in percentage points. Fewer columns if it is narrow."""
    header = ("a", "b", "metric", "a − b", "95 % interval", "p", "p (Holm)", "test")
    cells = []
    for pair in report["pairs"][:MAX_ROWS]:
        scale, digits = (1, 3) if pair["metric"] == "auc" else (100, 1)
        low, high = (None if pair[edge] is None else scale * pair[edge] for edge in ("low", "high"))
        interval = "unknown" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
        row = (
            pair["a"], pair["b"], METRICS[pair["metric"]], f"{scale * pair['difference']:+.{digits}f}",
            interval, _format_p(pair["p"]), _format_p(pair["p_adjusted"]), pair["test"],
        )  # fmt: skip
        cells.append([visible(cell) for cell in row])
    left = ("a", "b", "metric", "test")
    rows = fitted_table(header, cells, optional=("test", "p"), width=width, left=left)
    if len(report["pairs"]) > MAX_ROWS:
        rows.add_row(f"and {len(report['pairs']) - MAX_ROWS} more in report.html")
    return rows


def _format_p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
