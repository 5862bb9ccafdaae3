"""report.html of an ablation: what each change did to the score and to the cost, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.comparing.settings import TITLES
from lightcnn.output import html

COLUMNS = (
    "change", "what it is", "multiply-adds", "parameters", "mean", "sd", "difference", "low", "high", "p", "p by Holm",
    "time, s",
)  # fmt: skip
CAPTIONS = {
    "differences": "Scores, and differences from the unchanged recipe, with 95 % intervals; orange: shown to differ",
    "macs": "Score against multiply-adds, with 95 % intervals",
    "params": "Score against parameters, with 95 % intervals",
}


def ablate_page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """The whole page."""
    data, metric = report["data"], TITLES[report["metric"]]
    named = report["recipe"] or "a recipe"
    return html.page(
        f"lightcnn ablate: {named} on {data['source']}",
        [
            *(html.paragraph(note, "alarm" if data["stand_in"] and not place else "note")
              for place, note in enumerate(report["notes"])),
            html.heading("What can be said"),
            *(html.paragraph(pair["sentence"], "note" if pair["shown"] else "")
              for pair in report["pairs"] if pair["metric"] == report["metric"]),
            html.heading("One change at a time"),
            html.paragraph(f"Each change against the unchanged recipe, by test {metric} over {told(report)}."),
            html.table(COLUMNS, [_row(row) for row in report["rows"]]),
            html.paragraph(
                "The mean is over all answers, sd over the trainings, the interval and the test over the test images. "
                "p by Holm takes into account how many changes there are; below 0.05 a difference counts as shown. "
                "One FLOP is one multiply-add."
            ),
            *(html.figure(picture, CAPTIONS[name]) for name, picture in pictures.items()),
            *_unmade(report),
            html.heading("By other metrics"),
            *(html.paragraph(pair["sentence"]) for pair in report["pairs"] if pair["metric"] != report["metric"]),
            html.heading("The data"),
            html.pairs({**data["counts"], "groups on two sides": data["groups_shared"],
                        "fingerprint": data["fingerprint"][:16], "classes": ", ".join(data["classes"][:30])}),
        ],
    )  # fmt: skip


def told(report: Mapping[str, Any]) -> str:
    """How often each recipe was trained, in words."""
    seeds = f"{report['seeds']} seed{'s' * (report['seeds'] > 1)}"
    return f"{seeds} on each of {report['folds']} folds" if report["folds"] else f"{seeds} on one split"


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    numbers = (row["metric"]["mean"], row["metric"]["sd"], *(row[name] for name in (
        "difference", "low", "high", "p", "p_adjusted")))  # fmt: skip
    cells = ("" if number is None else float(number) for number in numbers)
    return (row["change"], row["about"], row["cost"]["macs"], row["cost"]["params"], *cells, round(row["seconds"]))


def _unmade(report: Mapping[str, Any]) -> list[str]:
    """The changes that failed or say nothing, and why."""
    failed = [(one["change"], f"failed: {one['reason']}") for one in report["failed"]]
    rows = failed + [(one["change"], one["reason"]) for one in report["left_out"]]
    return [html.heading("Not trained"), html.table(("change", "why"), rows)] if rows else []
