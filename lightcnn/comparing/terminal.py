"""What the terminal shows of a comparison: the table of its pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from lightcnn.comparing.settings import METRICS
from lightcnn.output.terminal import table
from lightcnn.text import visible

MAX_ROWS = 30
"""Pairs that the terminal shows; report.html has all of them."""


def compare_table(report: Mapping[str, Any]) -> Table:
    """One row per pair; differences of accuracies are in percentage points."""
    rows = table("a", "b", "metric", "a − b", "95 % interval", "p", "p (Holm)", "test", left=(0, 1, 2, 7))
    for pair in report["pairs"][:MAX_ROWS]:
        scale, digits = (1, 3) if pair["metric"] == "auc" else (100, 1)
        low, high = (None if pair[edge] is None else scale * pair[edge] for edge in ("low", "high"))
        interval = "unknown" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
        cells = (
            pair["a"], pair["b"], METRICS[pair["metric"]], f"{scale * pair['difference']:+.{digits}f}",
            interval, _format_p(pair["p"]), _format_p(pair["p_adjusted"]), pair["test"],
        )  # fmt: skip
        rows.add_row(*(Text(visible(cell)) for cell in cells))
    if len(report["pairs"]) > MAX_ROWS:
        rows.add_row(f"and {len(report['pairs']) - MAX_ROWS} more in report.html")
    return rows


def _format_p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
