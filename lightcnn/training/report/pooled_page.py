"""report.html of several trainings of one recipe: their joint scores, and the scores of each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn import document
from lightcnn.output import html
from lightcnn.output.largest_class import largest_class_sentence
from lightcnn.output.positive_class import positive_sentence
from lightcnn.recipe import Recipe
from lightcnn.training.report import wording
from lightcnn.training.report.page import caution_paragraphs

CAPTIONS = {
    "parts": "Test accuracy of each part, and of all parts together with its interval",
    "confusion": "Confusion matrix over all parts, each image counted once per seed (rows: true class, columns: "
    "predicted class)",
}
"""The figures in their order, and their captions."""
SUMMARY_METRICS = ("accuracy", "balanced_accuracy", "f1", "auc", "sensitivity", "specificity")
"""The scores of each part in report.json and in the tables."""
SUMMARY_HEADER = ("score", "mean", "standard deviation")


def pooled_page(report: Mapping[str, Any], recipe: Recipe, figures: Mapping[str, bytes]) -> bytes:
    """The complete page."""
    data, accuracy = report["data"], report["metrics"]["test"]["accuracy"]
    warning, thresholds = wording.small_test_set(report), wording.threshold_rows(report)
    return html.page(
        f"lightcnn train: {recipe.name or 'a network'} on {data['source']}, {format_repeats(report)}",
        [
            *caution_paragraphs(report),
            html.paragraph(f"{accuracy['value']:.2%} test accuracy", "big"),
            html.paragraph(
                f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%} ({accuracy['interval']}) on "
                f"{data['counts']['test']:,} images. Each was predicted by networks that were not trained on it or on "
                "its group. Weights and threshold of each network were chosen on its own validation set."
            ),
            html.paragraph(largest_class_sentence(report["metrics"]["test"])),
            *([html.paragraph(warning, "note")] if warning else []),
            html.heading("All test images"),
            html.table(wording.SCORE_HEADER, wording.score_rows(report)),
            *(html.paragraph(text) for text in [positive_sentence(report)] if text),
            html.paragraph(wording.sample_size(report)),
            html.paragraph("Areas under curves are computed for each network and averaged, since probabilities of "
                           "different networks are not comparable."),
            *(html.figure(figures[name], caption) for name, caption in CAPTIONS.items() if name in figures),
            html.heading("Scores per class"),
            html.table(wording.CLASS_HEADER, wording.class_rows(report)),
            *([html.heading("Other thresholds"), html.table(wording.THRESHOLD_HEADER, thresholds)] if thresholds
              else []),
            html.heading("Variation over the parts"),
            html.table(SUMMARY_HEADER, summary_rows(report["summary"])),
            html.paragraph("The interval shows how much the score of these networks would vary with other test images, "
                           "the standard deviation how much it varies between trainings. The parts share most of "
                           "their training images."),
            html.table(("seed", "fold", "train", "val", "test", *map(_title, SUMMARY_METRICS), "epochs", "seconds"),
                       [_part_row(part) for part in report["parts"]]),
            html.heading("The recipe"),
            html.code(document.dump(recipe)),
            html.heading("The data"),
            html.pairs({"images": data["counts"]["test"], "groups": data["groups"]["counts"]["test"],
                        "groups are": data["groups"]["why"], "fingerprint": data["fingerprint"][:16]}),
        ],
    )  # fmt: skip


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
    scores = (_format_value(part[name]) for name in SUMMARY_METRICS)
    return (part["seed"], part["fold"] or "", *counts, *scores, part["epochs"], round(part["seconds"]))


def _title(metric: str) -> str:
    return metric.replace("_", " ").replace("auc", "AUC")


def _format_value(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
