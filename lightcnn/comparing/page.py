"""report.html of a comparison: what can be said, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.comparing.figures import SHOWN
from lightcnn.comparing.settings import TITLES
from lightcnn.output import html

COLUMNS = ("a", "b", "metric", "a − b", "low", "high", "p", "p by Holm", "would be seen", "test")


def compare_page(report: Mapping[str, Any], picture: bytes) -> bytes:
    """The whole page."""
    data, runs, pairs = report["data"], report["runs"], report["pairs"]
    most = max(sum(pair["metric"] == metric for pair in pairs) for metric in TITLES)
    drawn = f", the {SHOWN} largest of each metric" if most > SHOWN else ""
    return html.page(
        f"lightcnn compare: {len(runs)} runs on {data['source']}",
        [
            html.heading("What can be said"),
            *(html.paragraph(pair["sentence"], "note" if pair["shown"] else "") for pair in pairs),
            html.figure(picture, f"Scores, and differences{drawn}, with 95 % intervals; orange: shown to differ"),
            html.heading("Runs"),
            html.table(
                ("run", "seeds", "folds", "test images", *TITLES.values(), "parameters", "multiply-adds"),
                [_run(run) for run in runs],
            ),
            html.heading("Pairs"),
            html.table(COLUMNS, [_pair(pair) for pair in pairs]),
            html.paragraph(
                "Intervals are of 95 % and of each difference by itself. p by Holm takes into account how many pairs "
                "there are; below 0.05 a difference counts as shown. A true difference as large as in the column "
                "“would be seen” is shown four times in five."
            ),
            html.heading("To be known"),
            *(html.paragraph(note) for note in report["notes"]),
            html.heading("Data"),
            html.pairs({"source": data["source"], "fingerprint": data["fingerprint"][:16],
                        "classes": ", ".join(data["classes"][:30])}),
        ],
    )  # fmt: skip


def _run(run: Mapping[str, Any]) -> tuple[Any, ...]:
    cost = run["cost"] or {"params": "", "macs": ""}
    scores = (_score(run["scores"][metric]) for metric in TITLES)
    return (run["name"], len(run["seeds"]), run["folds"], run["images"], *scores, cost["params"], cost["macs"])


def _score(score: Mapping[str, float] | None) -> str:
    return "undefined" if score is None else f"{score['value']:.4f} ({score['low']:.4f} to {score['high']:.4f})"


def _pair(pair: Mapping[str, Any]) -> tuple[Any, ...]:
    numbers = ("difference", "low", "high", "p", "p_adjusted", "detectable")
    cells = ("none" if pair[name] is None else float(pair[name]) for name in numbers)
    return (pair["a"], pair["b"], TITLES[pair["metric"]], *cells, pair["test"])
