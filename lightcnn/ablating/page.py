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
Score = tuple[float, float | None, float | None]
"""A value with its 95 % interval, if known."""


def ablate_page(report: Mapping[str, Any], charts: Mapping[str, Chart], score: Score, path: Path) -> bytes:
    """The whole page. `charts` by name; `score` is that of the unchanged recipe; `path` is the run folder."""
    data, base = report["data"], report["rows"][0]
    cautions = page_cautions(report)
    first = [*cautions.alarms, *cautions.serious]
    context = {
        "report": report, "charts": charts, "cautions": cautions, "drawn": MAX_DRAWN,
        "notes": list(dict.fromkeys([*cautions.folded, *(note for note in report["notes"] if note not in first)])),
        **(verdict(report["pairs"]) if report["pairs"] else _nothing_trained()),
        "score": dict(zip(("value", "low", "high"), score, strict=True)), "answer": _answer(data, score),
        "metric": METRICS[report["metric"]], "repeats": format_repeats(report),
        "cost": {"multiply-adds of one image": base["cost"]["macs"], "parameters": base["cost"]["params"]},
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


def _answer(data: Mapping[str, Any], score: Score) -> str:
    """The interval of the score of the unchanged recipe, and the images that it is measured on."""
    groups = f" from {data['groups']['counts']['test']:,} groups" if data["groups"]["known"] else ""
    images = f"on {data['counts']['test']:,} test images{groups}"
    _, low, high = score
    if low is None or high is None:
        return f"Measured {images}."
    return f"95 % interval {low:.2%} to {high:.2%} {images}."


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
