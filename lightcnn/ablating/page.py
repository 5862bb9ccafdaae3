"""report.html of an ablation: what each change did to the score and to the cost, and the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.comparing.settings import METRICS
from lightcnn.output import html
from lightcnn.output.caveats import warnings_beside_notes
from lightcnn.output.largest_class import largest_class_sentence

COLUMNS = (
    "change", "what it is", "multiply-adds", "parameters", "mean", "sd", "difference", "low", "high", "p", "p (Holm)",
    "time, s",
)  # fmt: skip
CAPTIONS = {
    "differences": "Scores, and differences from the unchanged recipe, with 95 % intervals "
    "(orange: shown to differ, after Holm)",
    "macs": "Score against multiply-adds, with 95 % intervals",
    "params": "Score against parameters, with 95 % intervals",
}
MAX_CLASSES = 30
"""Classes that the page lists."""


def ablate_page(report: Mapping[str, Any], plots: Mapping[str, bytes]) -> bytes:
    """The whole page. `plots`: PNG files by name."""
    data, metric = report["data"], METRICS[report["metric"]]
    name = report["recipe"] or "a recipe"
    return html.page(
        f"lightcnn ablate: {name} on {data['source']}",
        [
            *(html.paragraph(note, "alarm" if data["stand_in"] and not place else "note")
              for place, note in enumerate(report["notes"])),
            *(html.paragraph(text, "note") for text in warnings_beside_notes(report)),
            html.heading("Conclusions"),
            *(html.paragraph(pair["sentence"], "note" if pair["shown"] else "")
              for pair in report["pairs"] if pair["metric"] == report["metric"]),
            html.heading("One change at a time"),
            html.paragraph(
                f"Each change compared with the unchanged recipe by test {metric}, over {format_repeats(report)}. "
                f"{largest_class_sentence(report)}"
            ),
            html.table(COLUMNS, [_row(row) for row in report["rows"]]),
            html.paragraph(
                "The mean is over all predictions and sd over the trainings; the interval and the test are over the "
                "test images. p (Holm) is corrected for the number of changes; if it is below 0.05, the difference "
                "counts as shown. One FLOP is one multiply-add."
            ),
            *(html.figure(plot, CAPTIONS[name]) for name, plot in plots.items()),
            *_not_trained(report),
            html.heading("Other metrics"),
            *(html.paragraph(pair["sentence"]) for pair in report["pairs"] if pair["metric"] != report["metric"]),
            html.heading("Data"),
            html.pairs({**data["counts"], "groups in more than one set": data["groups_shared"],
                        "fingerprint": data["fingerprint"][:16], "classes": ", ".join(data["classes"][:MAX_CLASSES])}),
        ],
    )  # fmt: skip


def format_repeats(report: Mapping[str, Any]) -> str:
    """How often each recipe was trained, in words."""
    seeds = f"{report['seeds']} seed{'s' * (report['seeds'] > 1)}"
    return f"{seeds} on each of {report['folds']} folds" if report["folds"] else f"{seeds} on one split"


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    statistics = [row["metric"][name] for name in ("mean", "sd")]
    statistics += [row[name] for name in ("difference", "low", "high", "p", "p_adjusted")]
    cells = ("" if value is None else float(value) for value in statistics)
    return (row["change"], row["about"], row["cost"]["macs"], row["cost"]["params"], *cells, round(row["seconds"]))


def _not_trained(report: Mapping[str, Any]) -> list[str]:
    """The changes that failed or were left out, with the reasons."""
    rows = [(failure["change"], f"failed: {failure['reason']}") for failure in report["failed"]]
    rows += [(skipped["change"], skipped["reason"]) for skipped in report["left_out"]]
    return [html.heading("Not trained"), html.table(("change", "reason"), rows)] if rows else []
