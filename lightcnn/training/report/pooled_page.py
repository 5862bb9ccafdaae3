"""report.html of several trainings of one recipe: the score they have together, and each part's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn import document
from lightcnn.output import html
from lightcnn.output.caveats import caveats
from lightcnn.recipe import Recipe
from lightcnn.training.report import wording

CAPTIONS = {
    "parts": "Test accuracy of every part, and of all together with its interval",
    "confusion": "Answers of all parts, an image once a seed: actual classes in rows, predicted in columns",
}
SHOWN = ("accuracy", "balanced_accuracy", "f1", "auc", "sensitivity", "specificity")


def pooled_page(report: Mapping[str, Any], recipe: Recipe, pictures: Mapping[str, bytes]) -> bytes:
    """The whole page."""
    data, accuracy = report["data"], report["metrics"]["test"]["accuracy"]
    operating = wording.operating(report)
    return html.page(
        f"lightcnn train: {recipe.name or 'a network'} on {data['source']}, {told(report)}",
        [
            *(html.paragraph(text, "alarm" if data["stand_in"] and not place else "note")
              for place, text in enumerate(caveats(data))),
            html.paragraph(f"{accuracy['value']:.2%} test accuracy", "big"),
            html.paragraph(
                f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%} ({accuracy['interval']}) on "
                f"{data['counts']['test']:,} images, each predicted by networks that have not seen it or its source. "
                "Weights and threshold of each were chosen on its own validation side."
            ),
            *([html.paragraph(warned, "note")] if (warned := wording.warned(report)) else []),
            html.heading("All test images"),
            html.table(("score", "value", "95 % interval", "in words"),
                       [(one.name, one.value, one.interval, one.meaning) for one in wording.told(report)]),
            html.paragraph(wording.counted(report)),
            html.paragraph("Areas rank images within one network and are then averaged; probabilities of different "
                           "networks are not held against each other."),
            *(html.figure(pictures[name], caption) for name, caption in CAPTIONS.items() if name in pictures),
            html.heading("Each class"),
            html.table(wording.CLASS_HEADER, wording.by_class(report)),
            *([html.heading("Other thresholds"), html.table(wording.OPERATING_HEADER, operating)] if operating else []),
            html.heading("Over the parts"),
            html.table(("metric", "mean", "standard deviation"), summary_rows(report["summary"])),
            html.paragraph("The interval says how far other images would move the score of these networks; the "
                           "deviation how far another training does. Parts share most of their training images."),
            html.table(("seed", "fold", "train", "val", "test", *map(_name, SHOWN), "epochs", "seconds"),
                       [_part(part) for part in report["parts"]]),
            html.heading("The recipe"),
            html.code(document.dump(recipe)),
            html.heading("The data"),
            html.pairs({"images": data["counts"]["test"], "sources": data["groups"]["counts"]["test"],
                        "sources are": data["groups"]["why"], "fingerprint": data["fingerprint"][:16]}),
        ],
    )  # fmt: skip


def told(report: Mapping[str, Any]) -> str:
    """How often it was trained, in words."""
    folds, seeds = report["folds"], report["seeds"]
    wording = [f"{folds} folds"] * bool(folds) + [f"{seeds} seed{'s' * (seeds != 1)}"] * (seeds > 1 or not folds)
    return " × ".join(wording)


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Mean and standard deviation of every metric over the parts, as they are shown."""
    return [(_name(name), _said(values["mean"]), _said(values["sd"])) for name, values in summary.items()]


def _part(part: Mapping[str, Any]) -> tuple[Any, ...]:
    counts = (part["counts"][side] for side in ("train", "val", "test"))
    scores = (_said(part[name]) for name in SHOWN)
    return (part["seed"], part["fold"] or "", *counts, *scores, part["epochs"], round(part["seconds"]))


def _name(metric: str) -> str:
    return metric.replace("_", " ").replace("auc", "AUC")


def _said(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
