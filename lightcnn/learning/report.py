"""What a training leaves behind: the network, its predictions, plots, report.json and report.html."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

import lightcnn
from lightcnn import document
from lightcnn.anatomy import Stage, network_cost, stages
from lightcnn.counters import fvcore_total, thop_total
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sheets import png, tile
from lightcnn.evaluation import charts, plots
from lightcnn.evaluation.figures import stamped
from lightcnn.evaluation.predictions import prediction_table
from lightcnn.evaluation.scores import best_threshold, cross_entropy, scores
from lightcnn.learning.bench import warning
from lightcnn.learning.page import Mistake, train_page
from lightcnn.network import fold
from lightcnn.predict import decide
from lightcnn.recipe import Recipe
from lightcnn.run import Run
from lightcnn.training.losses import class_weights
from lightcnn.training.stopping import Progress, Row
from lightcnn.weights import weights_file

METRIC_COLUMNS = tuple(Row.model_fields)
MISTAKES = 24
"""Of the test side, shown at most: the wrong answers that the network was surest of."""
RULE = "highest balanced accuracy on the validation side; among equals the nearest to 0.5"


@dataclass(frozen=True)
class Finished:
    """A training that is done: the best epoch's network, and probabilities (N, classes) of val and test."""

    recipe: Recipe
    model: nn.Module
    progress: Progress
    probabilities: Mapping[str, NDArray[np.float64]]
    seconds: float
    threshold: float = field(default=0.5)


def write_metrics(run: Run, progress: Progress) -> None:
    """metrics.csv: a row an epoch."""
    rows = [[_number(name, value) for name, value in row] for row in progress.rows]
    run.write_csv("metrics.csv", METRIC_COLUMNS, rows)


def write_report(run: Run, pipeline: Pipeline, done: Finished) -> None:
    """All that a finished training leaves; report.json last, so that its presence means that the run is whole."""
    labels = pipeline.dataset.labels[pipeline.split.val]
    binary = len(pipeline.dataset.classes) == 2
    threshold = best_threshold(labels, done.probabilities["val"][:, 1]) if binary else 0.5
    done = Finished(**(vars(done) | {"threshold": threshold}))
    report = report_document(pipeline, done)
    data, recipe = report["data"], done.recipe
    write_metrics(run, done.progress)
    run.write_bytes("spec.yaml", document.dump(recipe.network, warning(data)).encode())
    run.write_bytes("weights.safetensors", weights_file(done.model, recipe.network, stand_in=data["stand_in"]))
    rule = pipeline.preprocess(recipe.network.input[1]).model_copy(update={"threshold": threshold})
    run.write_json("preprocess.json", rule.model_dump(mode="json"))
    run.write_csv("predictions.csv", *prediction_table(pipeline.dataset, pipeline.split, done.probabilities, threshold))
    mistakes, parts = worst(pipeline, done), stages(recipe.network, done.model)
    pictures = _pictures(pipeline, done, report, mistakes, parts)
    for name, picture in pictures.items():
        run.write_bytes(f"plots/{name}.png", picture)
    run.write_bytes("report.html", train_page(report, recipe, done.progress, pictures, mistakes, parts))
    run.write_json("report.json", report)


def report_document(pipeline: Pipeline, done: Finished) -> dict[str, Any]:
    """report.json."""
    dataset, progress, recipe = pipeline.dataset, done.progress, done.recipe
    metrics = {}
    for side, predicted in done.probabilities.items():
        indices = getattr(pipeline.split, side)
        labels = dataset.labels[indices]
        metrics[side] = {"loss": cross_entropy(labels, predicted)} | scores(
            labels, predicted, groups=dataset.groups[indices], threshold=done.threshold
        )
    deployed = fold(done.model).cpu()
    network = recipe.network
    weights = class_weights(recipe.training, pipeline.labels(pipeline.split.train), dataset.classes)
    return {
        "lightcnn": lightcnn.__version__,
        "command": "train",
        "seed": recipe.seed,
        "seconds": round(done.seconds, 3),
        "data": pipeline.document(),
        "network": {
            "cost": network_cost(network, done.model),
            "counters": {"fvcore": fvcore_total(deployed, network.input), "thop": thop_total(deployed, network.input)},
        },
        "epochs": progress.epoch,
        "best_epoch": progress.best,
        "monitor": recipe.training.monitor,
        "first_weights": progress.first_weights,
        "stopped_early": progress.epoch < recipe.training.epochs,
        "class_weights": None if weights is None else dict(zip(dataset.classes, weights.tolist(), strict=True)),
        "threshold": {"value": done.threshold, "rule": RULE} if len(dataset.classes) == 2 else None,
        "teacher": recipe.distill and recipe.distill.teacher,
        "metrics": metrics,
    }


def worst(pipeline: Pipeline, done: Finished) -> list[Mistake]:
    """The wrong answers on the test side, the surest first."""
    predicted, indices = done.probabilities["test"], pipeline.split.test
    answers, labels = decide(predicted, done.threshold), pipeline.dataset.labels[indices]
    sure = predicted[np.arange(len(answers)), answers]
    wrong = np.flatnonzero(answers != labels)
    classes, dataset = pipeline.dataset.classes, pipeline.dataset
    return [
        Mistake(dataset.images[indices[i]], dataset.paths[indices[i]], classes[labels[i]], classes[answers[i]], sure[i])
        for i in wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    ]


def _pictures(
    pipeline: Pipeline, done: Finished, report: Mapping[str, Any], mistakes: list[Mistake], parts: list[Stage]
) -> dict[str, bytes]:
    """The plots by name."""
    rows, test = done.progress.rows, report["metrics"]["test"]
    columns = zip(*((row.loss, row.val_loss, row.val_accuracy) for row in rows), strict=True)
    losses, val_losses, accuracies = map(list, columns)
    pictures = {
        "curves": plots.learning(losses, val_losses, accuracies, done.progress.best),
        "confusion": charts.confusion(test["confusion"], pipeline.dataset.classes),
        **_charts(pipeline, done),
        "network": plots.stages([f"{s.name} {s.kind}" for s in parts], [s.macs for s in parts],
                                [s.params for s in parts]),
    }  # fmt: skip
    pictures |= {"errors": png(tile([mistake.image for mistake in mistakes], 8))} if mistakes else {}
    text = warning(report["data"])
    return {name: stamped(picture, text) if text else picture for name, picture in pictures.items()}


def _charts(pipeline: Pipeline, done: Finished) -> dict[str, bytes]:
    """Those of the test side's probabilities, as far as they are defined."""
    dataset, indices, predicted = pipeline.dataset, pipeline.split.test, done.probabilities["test"]
    labels, classes, groups = dataset.labels[indices], dataset.classes, dataset.groups[indices]
    drawn = {
        "roc": charts.over_thresholds(charts.ROC, labels, predicted, classes, groups, {}),
        "precision_recall": charts.over_thresholds(charts.PRECISION_RECALL, labels, predicted, classes, groups, {}),
        "probabilities": charts.probabilities_by_class(labels, predicted, classes, done.threshold),
    }
    return {name: picture for name, picture in drawn.items() if picture}


def _number(name: str, value: Any) -> str:
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return f"{value:.3f}" if name == "seconds" else f"{value:.8f}"
