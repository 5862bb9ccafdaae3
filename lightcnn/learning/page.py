"""report.html of a training: the score, the network, how it was trained, where it is wrong."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn import document, page
from lightcnn.anatomy import Stage
from lightcnn.cautions import cautions
from lightcnn.data.sheets import tile
from lightcnn.learning import words
from lightcnn.recipe import Optimisation, Recipe
from lightcnn.training.stopping import Progress

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
    progress: Progress,
    pictures: Mapping[str, bytes],
    mistakes: Sequence[Mistake],
    stages: Sequence[Stage],
) -> bytes:
    """The whole page."""
    data = report["data"]
    return page.page(
        f"lightcnn train: {recipe.name or 'a network'} on {data['source']}",
        [
            *_cautions(data),
            *_score(report),
            page.heading("The test side"),
            *_test(report),
            *(page.figure(pictures[name], caption) for name, caption in CAPTIONS.items() if name in pictures),
            page.heading("The surest mistakes"),
            *_mistakes(mistakes),
            page.heading("The training"),
            page.figure(pictures["curves"], f"The best epoch by validation {recipe.training.monitor} is kept"),
            page.pairs(_training(report, recipe, progress)),
            page.heading("The network"),
            page.pairs(_cost(report)),
            page.paragraph(COUNTED),
            page.figure(pictures["network"], "From the input (top) to the head: where operations and parameters are"),
            page.table(("part", "kind", "shape after it", "FLOPs", "parameters"), _stages(stages)),
            page.code(document.dump(recipe.network)),
            page.heading("The data"),
            page.pairs(_data(data)),
        ],
    )


def _cautions(data: Mapping[str, Any]) -> list[str]:
    """What a reader of the score must know first; that the data are a stand-in, loudest."""
    return [
        page.paragraph(text, "alarm" if data["stand_in"] and not place else "note")
        for place, text in enumerate(cautions(data))
    ]


def _score(report: Mapping[str, Any]) -> list[str]:
    accuracy, images = report["metrics"]["test"]["accuracy"], report["data"]["counts"]["test"]
    return [
        page.paragraph(f"{accuracy['value']:.2%} test accuracy", "big"),
        page.paragraph(
            f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%} ({accuracy['interval']}) on {images:,} "
            "images that the training has not seen, looked at once, with weights, temperature and threshold chosen on "
            "the validation side."
        ),
        *([page.paragraph(warned, "note")] if (warned := words.warned(report)) else []),
    ]


def _test(report: Mapping[str, Any]) -> list[str]:
    """Every score with its interval and its meaning, of all and of each class, and what other thresholds reach."""
    rows = [(one.name, one.value, one.interval, one.meaning) for one in words.told(report)]
    operating = words.operating(report)
    return [
        page.table(("score", "value", "95 % interval", "in words"), rows),
        page.paragraph(words.counted(report)),
        page.paragraph(f"How intervals were found: {words.methods(report)}."),
        page.paragraph(words.decided(report)),
        page.paragraph(words.calibrated(report)),
        page.heading("Each class"),
        page.table(words.CLASS_HEADER, words.by_class(report)),
        *([page.heading("Other thresholds"), page.table(words.OPERATING_HEADER, operating)] if operating else []),
        page.heading("The test side in pictures"),
    ]


def _mistakes(mistakes: Sequence[Mistake]) -> list[str]:
    if not mistakes:
        return [page.paragraph("There are none on the test side.")]
    shown = [
        page.thumbnail(
            _jpeg(one.image), f"{one.answer} {one.probability:.0%}", (f"is {one.label}", one.path.rpartition("/")[2])
        )
        for one in mistakes
    ]
    return [page.paragraph("The answer with its probability, and what it is."), page.row(shown)]


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(tile([image], 1, SIDE)).save(stream, format="JPEG", quality=85)
    return stream.getvalue()


def _training(report: Mapping[str, Any], recipe: Recipe, progress: Progress) -> dict[str, Any]:
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
