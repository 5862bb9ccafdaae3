"""report.html of a training: the score, the network, how it was trained, and its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.data.contact_sheets import thumbnail
from lightcnn.engine.history import History
from lightcnn.output import html
from lightcnn.output.caveats import cautions, groups_clause
from lightcnn.output.charts.network_drawing import network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, Stage, stage_rows
from lightcnn.output.largest_class import largest_class_sentence
from lightcnn.output.positive_class import positive_sentence
from lightcnn.output.report import device_bytes
from lightcnn.recipe import Optimisation, Recipe
from lightcnn.training.report import wording

COUNTING_NOTE = (
    "One FLOP is one multiply-add. Convolutions, linear layers and matrix products are counted for one image, on the "
    "network with its norms folded. fvcore and thop also count pooling, and norms that cannot be folded."
)
THUMBNAIL_PIXELS = 96
CAPTIONS = {
    "confusion": "Confusion matrix (rows: true class, columns: predicted class)",
    "roc": "Sensitivity over 1 − specificity for every threshold",
    "precision_recall": "Precision over recall for every threshold",
    "probabilities": "Distribution of the predicted probabilities",
    "reliability": "Calibration: of the predictions with a probability of 80 %, four in five should be correct",
}
"""The figures of the test set in their order, and their captions."""


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction on the test set. `image` is uint8 (H, W, C)."""

    image: NDArray[np.uint8]
    path: str
    label: str
    prediction: str
    probability: float


def train_page(
    report: Mapping[str, Any],
    recipe: Recipe,
    history: History,
    figures: Mapping[str, bytes],
    mistakes: Sequence[Mistake],
    stages: Sequence[Stage],
) -> bytes:
    """The complete page."""
    data = report["data"]
    return html.page(
        f"lightcnn train: {recipe.name or 'a network'} on {data['source']}",
        [
            *caution_paragraphs(report),
            *_score(report),
            html.heading("Scores on the test set"),
            *_test(report),
            *(html.figure(figures[name], caption) for name, caption in CAPTIONS.items() if name in figures),
            html.heading("Most confident mistakes"),
            *_mistakes(mistakes),
            html.heading("The training"),
            html.figure(figures["curves"], f"The epoch with the best validation {recipe.training.monitor} is kept"),
            html.pairs(_training(report, recipe, history)),
            html.heading("The network"),
            html.pairs(_cost(report)),
            html.paragraph(COUNTING_NOTE),
            html.drawing(network_svg(recipe.network.name, recipe.network.input, stages), "The network, stage by stage"),
            html.table(TABLE_HEADER, stage_rows(stages)),
            html.code(document.dump(recipe.network)),
            html.heading("The data"),
            html.pairs(_data(data)),
        ],
    )


def caution_paragraphs(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the score must know, with an alarm if the data are a stand-in."""
    stand_in = report["data"]["stand_in"]
    return [
        html.paragraph(text, "alarm" if stand_in and not place else "note")
        for place, text in enumerate(cautions(report))
    ]


def _score(report: Mapping[str, Any]) -> list[str]:
    accuracy, images = report["metrics"]["test"]["accuracy"], report["data"]["counts"]["test"]
    warning = wording.small_test_set(report)
    return [
        html.paragraph(f"{accuracy['value']:.2%} test accuracy", "big"),
        html.paragraph(
            f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%} ({accuracy['interval']}) on {images:,} "
            "images that were not used in training. They were evaluated once, with weights, temperature and threshold "
            "chosen on the validation set."
        ),
        html.paragraph(largest_class_sentence(report["metrics"]["test"])),
        *([html.paragraph(warning, "note")] if warning else []),
    ]


def _test(report: Mapping[str, Any]) -> list[str]:
    """Every score with its interval and meaning, in total and per class, and the scores at other thresholds."""
    thresholds = wording.threshold_rows(report)
    return [
        html.table(wording.SCORE_HEADER, wording.score_rows(report)),
        *(html.paragraph(text) for text in [positive_sentence(report)] if text),
        html.paragraph(wording.sample_size(report)),
        html.paragraph(f"Methods of the intervals: {wording.interval_methods(report)}."),
        html.paragraph(wording.decision_rule(report)),
        html.paragraph(wording.calibration(report)),
        html.heading("Scores per class"),
        html.table(wording.CLASS_HEADER, wording.class_rows(report)),
        *([html.heading("Other thresholds"), html.table(wording.THRESHOLD_HEADER, thresholds)] if thresholds else []),
        html.heading("Figures of the test set"),
    ]


def _mistakes(mistakes: Sequence[Mistake]) -> list[str]:
    if not mistakes:
        return [html.paragraph("All test images are classified correctly.")]
    thumbnails = [
        html.thumbnail(
            thumbnail(mistake.image, THUMBNAIL_PIXELS),
            f"{mistake.prediction} {mistake.probability:.0%}",
            (f"true class: {mistake.label}", mistake.path.rpartition("/")[2]),
        )
        for mistake in mistakes
    ]
    return [html.paragraph("The predicted class with its probability, and the true class."), html.row(thumbnails)]


def _training(report: Mapping[str, Any], recipe: Recipe, history: History) -> dict[str, Any]:
    """How the network was trained, with every setting that is not the default."""
    default, weights = Optimisation(), report["class_weights"]
    reason = f"no gain in {history.since} epochs" if report["stopped_early"] else "all epochs of the recipe"
    rows: dict[str, Any] = {
        "epochs": f"{history.epoch} ({reason}); the best was {history.best}",
        "seconds": report["seconds"],
        "first weights": report["first_weights"],
        "class weights": "none: all images have the same weight"
        if weights is None
        else ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())
        + " (class weights shift the probabilities; calibrate them before use)",
    }
    if recipe.distill:
        rows["teacher"] = (
            f"{recipe.distill.teacher}, with weight {recipe.distill.alpha:g} in the loss, at temperature "
            f"{recipe.distill.temperature:g}"
        )
    for name, value in recipe.training:
        if name in ("optimizer", "schedule", "learning_rate", "batch") or value != getattr(default, name):
            rows.setdefault(f"training.{name}", str(value))
    return rows | {f"augment.{name}": str(value) for name, value in recipe.augment if value}


def _cost(report: Mapping[str, Any]) -> dict[str, Any]:
    total, counters = report["network"]["cost"], report["network"]["counters"]
    return {
        "FLOPs (multiply-adds)": total["macs"],
        "fvcore counts": counters["fvcore"],
        "thop counts": counters["thop"],
        "parameters": total["params"],
        "int8 weight bytes": total["weight_bytes"]["int8"],
        "peak int8 activation bytes": total["peak_activations"],
        **device_bytes(total),
    }


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **data["counts"],
        "groups": groups_clause(data["groups"]),
        "groups in more than one set": data["groups_shared"],
        "fingerprint": data["fingerprint"][:16],
    }
