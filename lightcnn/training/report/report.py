"""What a training leaves behind: the network, its predictions, plots, report.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.counting.folding import deploy
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.counting.stages import Stage, network_cost, stages
from lightcnn.data.contact_sheets import png, tile
from lightcnn.data.dataset import SPLITS
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.devices import device_name
from lightcnn.engine.history import History, Row
from lightcnn.engine.losses import class_weights
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.calibration import Temperature, calibration_error, cross_entropy, fitted, scaled
from lightcnn.evaluation.predictions import prediction_table, write_predictions
from lightcnn.evaluation.scores import intervals, scores
from lightcnn.evaluation.thresholds import best_threshold, operating_points
from lightcnn.inference import decide
from lightcnn.output.figures import stamped
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.report import figures
from lightcnn.training.report.model_card import CardFacts, model_card
from lightcnn.training.report.page import Mistake, train_page
from lightcnn.training.setup import stand_in_warning
from lightcnn.version import __version__
from lightcnn.weights import weights_file

METRIC_COLUMNS = tuple(Row.model_fields)
MISTAKES = 24
"""Of the test side, shown at most: the wrong answers that the network was surest of."""
RULE = "highest balanced accuracy on the validation side; among equals the nearest to 0.5"


@dataclass(frozen=True)
class Finished:
    """A training that is done: the best epoch's network, and probabilities (N, classes) of val and test at 1."""

    recipe: Recipe
    model: nn.Module
    progress: History
    probabilities: Mapping[str, NDArray[np.float64]]
    seconds: float


@dataclass(frozen=True)
class Judged:
    """What the validation side says of a training: its temperature and threshold, and probabilities under them."""

    temperature: Temperature
    probabilities: Mapping[str, NDArray[np.float64]]
    threshold: float
    operating: Mapping[str, Mapping[str, float | None]]


def write_metrics(run: RunFolder, progress: History) -> None:
    """metrics.csv: a row an epoch."""
    rows = [[_number(name, value) for name, value in row] for row in progress.rows]
    run.write_csv("metrics.csv", METRIC_COLUMNS, rows)


def write_report(run: RunFolder, pipeline: Pipeline, done: Finished) -> None:
    """All that a finished training leaves; report.json last, so that its presence means that the run is whole."""
    judged = judge(pipeline, done.probabilities)
    report = report_document(pipeline, done, judged)
    data, recipe = report["data"], done.recipe
    write_metrics(run, done.progress)
    run.write_bytes("spec.yaml", document.dump(recipe.network, stand_in_warning(data)).encode())
    run.write_bytes("weights.safetensors", weights_file(done.model, recipe.network, stand_in=data["stand_in"]))
    chosen = {"temperature": judged.temperature.value, "threshold": judged.threshold}
    rule = pipeline.preprocess(recipe.network.input[1]).model_copy(update=chosen)
    run.write_json("preprocess.json", rule.model_dump(mode="json"))
    report["predictions"] = write_predictions(
        run, *prediction_table(pipeline.dataset, pipeline.split, judged.probabilities, judged.threshold)
    )
    mistakes, parts = worst(pipeline, judged), stages(recipe.network, done.model)
    pictures = _pictures(pipeline, done, judged, report, mistakes, parts)
    for name, picture in pictures.items():
        run.write_bytes(f"plots/{name}.png", picture)
    run.write_bytes("report.html", train_page(report, recipe, done.progress, pictures, mistakes, parts))
    run.write_bytes("README.md", model_card(_facts(run, pipeline, report, recipe, rule)))
    run.write_json("report.json", report)


def _facts(
    run: RunFolder, pipeline: Pipeline, report: Mapping[str, Any], recipe: Recipe, rule: Preprocess
) -> CardFacts:
    """What the card tells."""
    given = [side for side in SPLITS if (pipeline.dataset.split == side).any()]
    machine = json.loads((run / "environment.json").read_bytes())
    return CardFacts(report, recipe, rule, given, device_name(pipeline.device), machine)


def judge(pipeline: Pipeline, raw: Mapping[str, NDArray[np.float64]]) -> Judged:
    """Temperature and thresholds, of the validation side, and what the probabilities (N, classes) of all sides are."""
    indices, dataset = pipeline.split.val, pipeline.dataset
    labels = dataset.labels[indices]
    temperature = fitted(labels, raw["val"], dataset.groups[indices])
    calibrated = {side: scaled(predicted, temperature.value) for side, predicted in raw.items()}
    if len(dataset.classes) > 2:
        return Judged(temperature, calibrated, 0.5, {})
    positive = calibrated["val"][:, 1]
    return Judged(temperature, calibrated, best_threshold(labels, positive), operating_points(labels, positive))


def report_document(pipeline: Pipeline, done: Finished, judged: Judged) -> dict[str, Any]:
    """report.json, but for `predictions`."""
    dataset, progress, recipe = pipeline.dataset, done.progress, done.recipe
    metrics = {
        side: scores(
            dataset.labels[indices], predicted, groups=dataset.groups[indices], threshold=judged.threshold,
            classes=dataset.classes, operating=judged.operating,
        ) for side, predicted in judged.probabilities.items() for indices in [getattr(pipeline.split, side)]
    }  # fmt: skip
    network = recipe.network
    deployed = deploy(done.model, network.input).model
    weights = class_weights(recipe.training, pipeline.labels(pipeline.split.train), dataset.classes)
    return {
        "lightcnn": __version__,
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
        "threshold": {"value": judged.threshold, "rule": RULE} if len(dataset.classes) == 2 else None,
        "teacher": recipe.distill and recipe.distill.teacher,
        "calibration": _calibration(pipeline, done, judged),
        "metrics": metrics,
    }


def _calibration(pipeline: Pipeline, done: Finished, judged: Judged) -> dict[str, Any]:
    """The temperature, and what it does on the test side."""
    labels = pipeline.dataset.labels[pipeline.split.test]
    sides = {"before": done.probabilities["test"], "after": judged.probabilities["test"]}
    measures = {"ece": calibration_error, "log_loss": cross_entropy}
    return {"temperature": judged.temperature.value, "rule": judged.temperature.rule} | {
        name: {when: measure(labels, predicted) for when, predicted in sides.items()}
        for name, measure in measures.items()
    }


def worst(pipeline: Pipeline, judged: Judged) -> list[Mistake]:
    """The wrong answers on the test side, the surest first."""
    predicted, indices = judged.probabilities["test"], pipeline.split.test
    answers, labels = decide(predicted, judged.threshold), pipeline.dataset.labels[indices]
    sure = predicted[np.arange(len(answers)), answers]
    wrong = np.flatnonzero(answers != labels)
    classes, dataset = pipeline.dataset.classes, pipeline.dataset
    return [
        Mistake(dataset.images[indices[i]], dataset.paths[indices[i]], classes[labels[i]], classes[answers[i]], sure[i])
        for i in wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    ]


def _pictures(
    pipeline: Pipeline,
    done: Finished,
    judged: Judged,
    report: Mapping[str, Any],
    mistakes: list[Mistake],
    parts: list[Stage],
) -> dict[str, bytes]:
    """The plots by name."""
    rows, test = done.progress.rows, report["metrics"]["test"]
    columns = zip(*((row.loss, row.val_loss, row.val_accuracy) for row in rows), strict=True)
    losses, val_losses, accuracies = map(list, columns)
    pictures = {
        "curves": figures.learning(losses, val_losses, accuracies, done.progress.best),
        "confusion": score_figures.confusion(test["confusion"], pipeline.dataset.classes),
        **_charts(pipeline, done, judged, test),
        "network": figures.stages([f"{s.name} {s.kind}" for s in parts], [s.macs for s in parts],
                                [s.params for s in parts]),
    }  # fmt: skip
    pictures |= {"errors": png(tile([mistake.image for mistake in mistakes], 8))} if mistakes else {}
    text = stand_in_warning(report["data"])
    return {name: stamped(picture, text) if text else picture for name, picture in pictures.items()}


def _charts(pipeline: Pipeline, done: Finished, judged: Judged, test: Mapping[str, Any]) -> dict[str, bytes]:
    """Those of the test side's probabilities, as far as they are defined. `test` is that of the report's metrics."""
    dataset, indices, predicted = pipeline.dataset, pipeline.split.test, judged.probabilities["test"]
    labels, classes, groups = dataset.labels[indices], dataset.classes, dataset.groups[indices]
    kinds = {"roc": (score_figures.ROC, "auc"), "precision_recall": (score_figures.PRECISION_RECALL, "pr_auc")}
    drawn = {
        name: score_figures.over_thresholds(
            kind, labels, predicted, classes, groups, intervals(test["per_class"], area)
        )
        for name, (kind, area) in kinds.items()
    }
    drawn["reliability"] = score_figures.reliability(labels, done.probabilities["test"], predicted)
    drawn["probabilities"] = score_figures.probabilities_by_class(labels, predicted, classes, judged.threshold)
    return {name: picture for name, picture in drawn.items() if picture}


def _number(name: str, value: Any) -> str:
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return f"{value:.3f}" if name == "seconds" else f"{value:.8f}"
