"""report.html of a comparison: the conclusions first, then the numbers they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.comparing.figures import MAX_DRAWN
from lightcnn.comparing.settings import METRICS
from lightcnn.comparing.terminal import other_warnings, run_cells
from lightcnn.output import html

COLUMNS = ("a", "b", "metric", "a − b", "low", "high", "p", "p (Holm)", "detectable", "test")
MAX_PAIRS = 30
"""Pairs of runs whose differences are listed below the conclusions; the table has all."""
MAX_CLASSES = 30
"""Classes that the page lists."""


def compare_page(report: Mapping[str, Any], figure: bytes) -> bytes:
    """The whole page. `figure`: the PNG file of the differences."""
    data, runs, pairs = report["data"], report["runs"], report["pairs"]
    largest = max(sum(pair["metric"] == metric for pair in pairs) for metric in METRICS)
    drawn = f" (the {MAX_DRAWN} largest of each metric)" if largest > MAX_DRAWN else ""
    return html.page(
        f"lightcnn compare: {len(runs)} runs on {data['source']}",
        [
            html.heading("Conclusions"),
            *(html.paragraph(message, "note") for message in other_warnings(report)),
            *(html.paragraph(pair["sentence"], "note" if pair["shown"] else "") for pair in pairs),
            *(
                html.paragraph(entry["sentence"], "" if entry["equal_training"] else "note")
                for entry in report["differences"][:MAX_PAIRS]
            ),
            html.figure(
                figure, f"Scores and differences{drawn} with 95 % intervals (orange: shown to differ, after Holm)"
            ),
            html.heading("Runs"),
            html.table(
                ("run", "seeds", "folds", "test images", *METRICS.values(), "largest class", "parameters",
                 "multiply-adds"),
                [_run_row(run) for run in runs],
            ),
            html.paragraph("The column “largest class” is the accuracy of always predicting the largest class of the "
                           "training set."),
            html.heading("Pairs"),
            html.table(COLUMNS, [_pair_row(pair) for pair in pairs]),
            html.paragraph(
                "Each interval is the 95 % interval of one difference. p (Holm) is corrected for the number of pairs; "
                "if it is below 0.05, the difference counts as shown. A true difference of the size in the column "
                "“detectable” is shown in 80 % of such comparisons."
            ),
            html.heading("What differs between the runs"),
            html.table(("a", "b", "key", "value of a", "value of b"), _difference_rows(report["differences"])),
            html.heading("Notes"),
            *(html.paragraph(note) for note in report["notes"]),
            html.heading("Data"),
            html.pairs({"source": data["source"], "fingerprint": data["fingerprint"][:16],
                        "classes": ", ".join(data["classes"][:MAX_CLASSES])}),
        ],
    )  # fmt: skip


def _run_row(run: Mapping[str, Any]) -> tuple[Any, ...]:
    cost = run["cost"] or {"params": "", "macs": ""}
    sizes = (len(run["seeds"]), run["folds"], run["images"])
    return (run["name"], *sizes, *run_cells(run), cost["params"], cost["macs"])


def _pair_row(pair: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("difference", "low", "high", "p", "p_adjusted", "detectable")
    cells = ("none" if pair[name] is None else float(pair[name]) for name in names)
    return (pair["a"], pair["b"], METRICS[pair["metric"]], *cells, pair["test"])


def _difference_rows(entries: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (entry["a"], entry["b"], difference["key"], difference["a"], difference["b"])
        for entry in entries
        for difference in entry["differences"]
    ]
