"""report.html of a training: the score, the network, how it was trained, where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.counting.stages import Stage
from lightcnn.data.contact_sheets import thumbnail
from lightcnn.engine.history import History
from lightcnn.output import html
from lightcnn.output.caveats import caveats
from lightcnn.recipe import Optimisation, Recipe
from lightcnn.training.report import wording

COUNTED = (
    "One FLOP is one multiply-add; convolutions, linear layers and matrix products are counted, at batch 1, on the "
    "network with its norms folded. fvcore and thop add pooling, and norms that cannot be folded."
)
SIDE = 96
CAPTIONS = {
    "confusion": "Actual classes in rows, predicted ones in columns",
    "roc": "For every threshold: how much of a class is found, and how much of the others is taken for it",
    "precision_recall": "For every threshold: how much of a class is found, and how often that answer is right",
    "probabilities": "How the probabilities are spread over the images",
    "reliability": "Whether of the answers with a probability of 80 % four in five are right",
}
"""Pictures of the test side, in order, and what they show."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer on the test side. `image` is uint8 (H, W, C)."""

    image: NDArray[np.uint8]
    path: str
    label: str
    answer: str
    probability: float


def train_page(
    report: Mapping[str, Any],
    recipe: Recipe,
    progress: History,
    pictures: Mapping[str, bytes],
    mistakes: Sequence[Mistake],
    stages: Sequence[Stage],
) -> bytes:
    """The whole page."""
    data = report["data"]
    return html.page(
        f"lightcnn train: {recipe.name or 'a network'} on {data['source']}",
        [
            *_cautions(data),
            *_score(report),
            html.heading("The test side"),
            *_test(report),
            *(html.figure(pictures[name], caption) for name, caption in CAPTIONS.items() if name in pictures),
            html.heading("The surest mistakes"),
            *_mistakes(mistakes),
            html.heading("The training"),
            html.figure(pictures["curves"], f"The best epoch by validation {recipe.training.monitor} is kept"),
            html.pairs(_training(report, recipe, progress)),
            html.heading("The network"),
            html.pairs(_cost(report)),
            html.paragraph(COUNTED),
            html.figure(pictures["network"], "From the input (top) to the head: where operations and parameters are"),
            html.table(("part", "kind", "shape after it", "FLOPs", "parameters"), _stages(stages)),
            html.code(document.dump(recipe.network)),
            html.heading("The data"),
            html.pairs(_data(data)),
        ],
    )


def _cautions(data: Mapping[str, Any]) -> list[str]:
    """What a reader of the score must know first; that the data are a stand-in, loudest."""
    return [
        html.paragraph(text, "alarm" if data["stand_in"] and not place else "note")
        for place, text in enumerate(caveats(data))
    ]


def _score(report: Mapping[str, Any]) -> list[str]:
    accuracy, images = report["metrics"]["test"]["accuracy"], report["data"]["counts"]["test"]
    return [
        html.paragraph(f"{accuracy['value']:.2%} test accuracy", "big"),
        html.paragraph(
            f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%} ({accuracy['interval']}) on {images:,} "
            "images that the training has not seen, looked at once, with weights, temperature and threshold chosen on "
            "the validation side."
        ),
        *([html.paragraph(warned, "note")] if (warned := wording.warned(report)) else []),
    ]


def _test(report: Mapping[str, Any]) -> list[str]:
    """Every score with its interval and its meaning, of all and of each class, and what other thresholds reach."""
    rows = [(one.name, one.value, one.interval, one.meaning) for one in wording.told(report)]
    operating = wording.operating(report)
    return [
        html.table(("score", "value", "95 % interval", "in words"), rows),
        html.paragraph(wording.counted(report)),
        html.paragraph(f"How intervals were found: {wording.methods(report)}."),
        html.paragraph(wording.decided(report)),
        html.paragraph(wording.calibrated(report)),
        html.heading("Each class"),
        html.table(wording.CLASS_HEADER, wording.by_class(report)),
        *([html.heading("Other thresholds"), html.table(wording.OPERATING_HEADER, operating)] if operating else []),
        html.heading("The test side in pictures"),
    ]


def _mistakes(mistakes: Sequence[Mistake]) -> list[str]:
    if not mistakes:
        return [html.paragraph("There are none on the test side.")]
    shown = [
        html.thumbnail(
            thumbnail(one.image, SIDE),
            f"{one.answer} {one.probability:.0%}",
            (f"is {one.label}", one.path.rpartition("/")[2]),
        )
        for one in mistakes
    ]
    return [html.paragraph("The answer with its probability, and what it is."), html.row(shown)]


def _training(report: Mapping[str, Any], recipe: Recipe, progress: History) -> dict[str, Any]:
    """What was done, and every setting that is not the default."""
    usual, weights = Optimisation(), report["class_weights"]
    early = f"no gain in {progress.since} epochs" if report["stopped_early"] else "as many as the recipe has"
    rows: dict[str, Any] = {
        "epochs": f"{progress.epoch} ({early}); the best was {progress.best}",
        "seconds": report["seconds"],
        "first weights": report["first_weights"],
        "class weights": "none: every image counts the same"
        if weights is None
        else ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())
        + " (they change the probabilities: calibrate before these are read as such)",
    }
    if recipe.distill:
        rows["teacher"] = f"{recipe.distill.teacher}, share {recipe.distill.alpha:g} of the loss, at temperature " + (
            f"{recipe.distill.temperature:g}"
        )
    for name, value in recipe.training:
        if name in ("optimizer", "schedule", "learning_rate", "batch") or value != getattr(usual, name):
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
    }


def _stages(stages: Sequence[Stage]) -> list[tuple[Any, ...]]:
    return [(stage.name, stage.kind, "×".join(map(str, stage.shape)), stage.macs, stage.params) for stage in stages]


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    groups = data["groups"]
    known = f"{groups['source']}: {groups['why']}" if groups["known"] else "unknown: every image counted as its own"
    return {
        **data["counts"],
        "groups": known,
        "groups on two sides": data["groups_shared"],
        "fingerprint": data["fingerprint"][:16],
    }
