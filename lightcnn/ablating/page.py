"""report.html of an ablation: what its template `page.html` shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightcnn.ablating.plan import CHANGES_FOLDER
from lightcnn.comparing.figures import MAX_DRAWN
from lightcnn.comparing.page import verdict
from lightcnn.comparing.settings import METRICS
from lightcnn.output import html
from lightcnn.output.caveats import page_cautions
from lightcnn.output.charts.svg import Chart
from lightcnn.output.largest_class import KEY, largest_class_sentence

HEADER = (
    "change", "what it is", "multiply-adds", "parameters", "mean", "sd", "difference", "low", "high", "p", "p (Holm)",
    "time, s",
)  # fmt: skip
MAX_CLASSES = 30
"""Classes that the page lists."""


def ablate_page(report: Mapping[str, Any], charts: Mapping[str, Chart], path: Path) -> bytes:
    """The whole page. `charts` by name; `path` is the run folder."""
    data, base = report["data"], report["rows"][0]
    serious, others = page_cautions(report)
    context = {
        "report": report, "charts": charts, "serious": serious, "drawn": MAX_DRAWN,
        "notes": list(dict.fromkeys([*others, *(note for note in report["notes"] if note not in serious)])),
        **(verdict(report["pairs"]) if report["pairs"] else _nothing_trained()),
        "score": _score(report, base), "metric": METRICS[report["metric"]], "repeats": format_repeats(report),
        "largest": report.get(KEY), "largest_class": largest_class_sentence(report),
        "header": HEADER, "rows": [_row(row) for row in report["rows"]], "not_trained": list(_not_trained(report)),
        "commands": list(_commands(report, path)),
        "data": {
            **{f"{name} images": count for name, count in data["counts"].items()},
            "groups in more than one set": data["groups_shared"], "fingerprint": data["fingerprint"][:16],
            "classes": ", ".join(data["classes"][:MAX_CLASSES]),
        },
    }  # fmt: skip
    return html.render("ablating/page.html", f"{report['recipe'] or 'a recipe'} on {data['source']}", context)


def _nothing_trained() -> dict[str, Any]:
    """What is shown if no change could be trained."""
    return {"headline": "No change could be trained", "shown": [], "not_shown": [], "other_metrics": []}


def _score(report: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float | None]:
    """The score of the unchanged recipe; its interval is in the charts."""
    return {"value": base["metric"]["mean"], "low": None, "high": None}


def _commands(report: Mapping[str, Any], path: Path) -> Iterable[tuple[str, str]]:
    """What to do next, with the recipe that has the best score."""
    best = max(report["rows"], key=lambda row: row["metric"]["mean"])
    folder = path / CHANGES_FOLDER / best["change"]
    recipe = shlex.quote(str(folder / "recipe.yaml"))
    yield f"Train the recipe with the best score ({best['change']}) again", f"lightcnn train {recipe}"
    yield "See where its network looks", f"lightcnn explain {shlex.quote(str(folder))}"
    if report["seeds"] == 1:
        yield (
            "Make sure with more seeds",
            f"lightcnn ablate {shlex.quote(str(path / 'recipe.yaml'))}{_over(report)} --seeds 3",
        )


def _over(report: Mapping[str, Any]) -> str:
    """The option `--over` of the ablation."""
    return f" --over {shlex.quote(','.join(report['over']))}" if report["over"] else ""


def format_repeats(report: Mapping[str, Any]) -> str:
    """How often each recipe was trained, in words."""
    seeds = f"{report['seeds']} seed{'s' * (report['seeds'] > 1)}"
    return f"{seeds} on each of {report['folds']} folds" if report["folds"] else f"{seeds} on one split"


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    statistics = [row["metric"][name] for name in ("mean", "sd")]
    statistics += [row[name] for name in ("difference", "low", "high", "p", "p_adjusted")]
    cells = ("" if value is None else float(value) for value in statistics)
    return (row["change"], row["about"], row["cost"]["macs"], row["cost"]["params"], *cells, round(row["seconds"]))


def _not_trained(report: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The changes that failed or were left out, with the reasons."""
    yield from ((failure["change"], f"failed: {failure['reason']}") for failure in report["failed"])
    yield from ((skipped["change"], skipped["reason"]) for skipped in report["left_out"])
