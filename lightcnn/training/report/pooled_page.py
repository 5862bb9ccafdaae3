"""report.html of several trainings of one recipe: their joint scores, and the scores of each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightcnn import document
from lightcnn.output import html
from lightcnn.output.charts.network_table import Stage
from lightcnn.output.charts.svg import Chart
from lightcnn.recipe import Recipe
from lightcnn.training.report.page import CHARTS, next_commands, page_title, repeat_command, shared_context

POOLED_CHARTS = {
    "parts": ("Accuracy of each part", "Test accuracy with its 95 % interval. The band is the interval of all parts."),
    "confusion": ("Confusion matrix", f"All parts, each image counted once per seed. {CHARTS['confusion'][1]}"),
}
"""Title and caption of each chart, in their order."""
SUMMARY_METRICS = ("accuracy", "balanced_accuracy", "f1", "auc", "sensitivity", "specificity")
"""The scores of each part in report.json and in the tables."""
SUMMARY_HEADER = ("score", "mean", "standard deviation")
PART_HEADER = ("seed", "fold", "train", "val", "test", "accuracy", "95 % interval")


def pooled_page(
    report: Mapping[str, Any], recipe: Recipe, charts: Mapping[str, Chart], stages: Sequence[Stage], folder: Path
) -> bytes:
    """The complete page of the trainings in the run folder `folder`."""
    repeats, deviation = format_repeats(report), report["summary"]["accuracy"]["sd"]
    spread = "" if deviation is None else f" The standard deviation of the accuracy over the parts is {deviation:.2%}."
    titles = (name for name in map(_title, SUMMARY_METRICS) if name != "accuracy")
    context = shared_context(report, recipe, stages, charts, POOLED_CHARTS) | {
        "repeats": repeats,
        "certainty": "Each image was predicted by networks that were not trained on it or on its group. Weights and "
        f"threshold of each network were chosen on its own validation set.{spread}",
        "commands": _commands(report, recipe, folder),
        "variation": "The interval shows how much the score of these networks would vary with other test images, the "
        "standard deviation how much it varies between trainings. The parts share most of their training images.",
        "parts": {
            "header": (*PART_HEADER, *titles, "epochs", "seconds"),
            "rows": list(map(_part_row, report["parts"])),
        },
        "summary": {"header": SUMMARY_HEADER, "rows": summary_rows(report["summary"])},
        "recipe": document.dump(recipe),
        "data_summary": f"{report['data']['counts']['test']:,} test images in all parts",
    }
    return html.render("training/report/pooled_page.html", f"{page_title(report, recipe)}, {repeats}", context)


def _commands(report: Mapping[str, Any], recipe: Recipe, folder: Path) -> list[tuple[str, str]]:
    """What to do with the network of the first part; a repeated run has none of its own."""
    repeat = repeat_command(folder, {name: report[name] for name in ("folds", "seeds") if report.get(name)})
    first = folder / report["parts"][0]["folder"]
    return next_commands(first, recipe, repeat, "Repeat all trainings")


def format_repeats(report: Mapping[str, Any]) -> str:
    """The number of folds and seeds, in words."""
    folds, seeds = report["folds"], report["seeds"]
    parts = [f"{folds} folds"] * bool(folds) + [f"{seeds} seed{'s' * (seeds != 1)}"] * (seeds > 1 or not folds)
    return " × ".join(parts)


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Mean and standard deviation of every score over the parts."""
    return [
        (_title(name), _format_value(values["mean"]), _format_value(values["sd"])) for name, values in summary.items()
    ]


def _part_row(part: Mapping[str, Any]) -> tuple[Any, ...]:
    counts = (part["counts"][split_name] for split_name in ("train", "val", "test"))
    scores = [_format_value(part[name]) for name in SUMMARY_METRICS]
    interval = f"{part['accuracy_low']:.4f} to {part['accuracy_high']:.4f}"
    return (
        part["seed"], part["fold"] or "", *counts, scores[0], interval, *scores[1:], part["epochs"],
        round(part["seconds"]),
    )  # fmt: skip


def _title(metric: str) -> str:
    return metric.replace("_", " ").replace("auc", "AUC")


def _format_value(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
