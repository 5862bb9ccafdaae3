"""The results of a training: network, predictions, figures, report.json, report.html and model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.counting.folding import deploy
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.counting.stages import network_cost
from lightcnn.counting.stages import stages as network_stages
from lightcnn.data.contact_sheets import png, tile
from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import positive_document
from lightcnn.data.preprocess import Preprocess
from lightcnn.decisions import decide
from lightcnn.devices import device_name
from lightcnn.engine.history import History, Row
from lightcnn.engine.losses import class_weights
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.calibration import (
    Temperature,
    apply_temperature,
    calibration_error,
    cross_entropy,
    fit_temperature,
)
from lightcnn.evaluation.predictions import (
    hashes_of_test_images,
    prediction_table,
    write_predictions,
    write_test_images,
)
from lightcnn.evaluation.score_values import largest_class
from lightcnn.evaluation.scores import interval_bounds, scores
from lightcnn.evaluation.thresholds import best_threshold, operating_points
from lightcnn.inference import measure_unlikeness
from lightcnn.output.charts.figures import add_warning_bar
from lightcnn.output.charts.network_drawing import NETWORK_FILE, network_file
from lightcnn.output.charts.network_table import Stage
from lightcnn.output.largest_class import KEY, largest_class_warnings
from lightcnn.output.report import report_head
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder, environment
from lightcnn.training.report import figures
from lightcnn.training.report.card_facts import CardFacts
from lightcnn.training.report.model_card import model_card
from lightcnn.training.report.page import Mistake, train_page
from lightcnn.training.setup import stand_in_warning
from lightcnn.weights import weights_file

METRIC_COLUMNS = tuple(Row.model_fields)
"""The columns of metrics.csv."""
MAX_MISTAKES = 24
"""Wrong predictions on the test set that the report shows."""
SHEET_COLUMNS = 8
"""Images per row of errors.png."""
THRESHOLD_RULE = "highest balanced accuracy on the validation set; among equal thresholds the one nearest to 0.5"


@dataclass(frozen=True)
class FinishedTraining:
    """A finished training: the network of the best epoch, and uncalibrated probabilities (N, classes) by set."""

    recipe: Recipe
    model: nn.Module
    history: History
    probabilities: Mapping[str, NDArray[np.float64]]
    seconds: float


@dataclass(frozen=True)
class CalibratedPredictions:
    """Probabilities (N, classes) by set, with the temperature and thresholds that were chosen on the validation set."""

    temperature: Temperature
    probabilities: Mapping[str, NDArray[np.float64]]
    threshold: float
    operating: Mapping[str, Mapping[str, float | None]]


def write_metrics(run: RunFolder, history: History) -> None:
    """Writes metrics.csv: one row per epoch."""
    rows = [[_format_number(name, value) for name, value in row] for row in history.rows]
    run.write_csv("metrics.csv", METRIC_COLUMNS, rows)


def write_report(run: RunFolder, pipeline: Pipeline, training: FinishedTraining) -> None:
    """Writes all results. report.json is written last, so that a run with report.json is complete."""
    calibrated = calibrate(pipeline, training.probabilities)
    report = report_document(pipeline, training, calibrated)
    data, recipe = report["data"], training.recipe
    write_metrics(run, training.history)
    run.write_bytes("spec.yaml", document.dump(recipe.network, stand_in_warning(data)).encode())
    run.write_bytes("weights.safetensors", weights_file(training.model, recipe.network, stand_in=data["stand_in"]))
    chosen = {"temperature": calibrated.temperature.value, "threshold": calibrated.threshold}
    preprocess = pipeline.preprocess(recipe.network.input[1]).model_copy(update=chosen)
    unlikeness = measure_unlikeness(training.model, pipeline, preprocess)
    preprocess = preprocess.model_copy(update={"unlikeness": unlikeness})
    run.write_json("preprocess.json", preprocess.model_dump(mode="json"))
    report["predictions"] = write_predictions(
        run, *prediction_table(pipeline.dataset, pipeline.split, calibrated.probabilities, calibrated.threshold)
    ) | write_test_images(run, hashes_of_test_images(pipeline.dataset, pipeline.split))
    mistakes, stages = worst_mistakes(pipeline, calibrated), network_stages(recipe.network, training.model)
    plots = _plots(pipeline, training, calibrated, report, mistakes, stages)
    for name, plot in plots.items():
        run.write_bytes(f"plots/{name}.png", plot)
    run.write_bytes(NETWORK_FILE, network_file(recipe.network.name, recipe.network.input, stages))
    run.write_bytes("report.html", train_page(report, recipe, training.history, plots, mistakes, stages))
    run.write_bytes("README.md", model_card(_card_facts(run, pipeline, report, recipe, preprocess)))
    run.write_json("report.json", report)


def _card_facts(
    run: RunFolder, pipeline: Pipeline, report: Mapping[str, Any], recipe: Recipe, preprocess: Preprocess
) -> CardFacts:
    given = [name for name in SPLIT_NAMES if (pipeline.dataset.split == name).any()]
    machine = environment()
    return CardFacts(report, recipe, preprocess, given, device_name(pipeline.device), machine)


def calibrate(pipeline: Pipeline, raw: Mapping[str, NDArray[np.float64]]) -> CalibratedPredictions:
    """Chooses temperature and thresholds on the validation set, and calibrates the probabilities (N, classes)."""
    indices, dataset = pipeline.split.val, pipeline.dataset
    labels = dataset.labels[indices]
    temperature = fit_temperature(labels, raw["val"], dataset.groups[indices])
    calibrated = {name: apply_temperature(predicted, temperature.value) for name, predicted in raw.items()}
    if len(dataset.classes) > 2:
        return CalibratedPredictions(temperature, calibrated, 0.5, {})
    positive = calibrated["val"][:, 1]
    threshold, operating = best_threshold(labels, positive), operating_points(labels, positive)
    return CalibratedPredictions(temperature, calibrated, threshold, operating)


def report_document(
    pipeline: Pipeline, training: FinishedTraining, calibrated: CalibratedPredictions
) -> dict[str, Any]:
    """report.json without `predictions`."""
    dataset, history, recipe = pipeline.dataset, training.history, training.recipe
    train = dataset.labels[pipeline.split.train]
    metrics = {
        name: scores(
            dataset.labels[indices], predicted, groups=dataset.groups[indices], threshold=calibrated.threshold,
            classes=dataset.classes, operating=calibrated.operating,
        ) | {KEY: largest_class(train, dataset.labels[indices], dataset.classes)}
        for name, predicted in calibrated.probabilities.items() for indices in [getattr(pipeline.split, name)]
    }  # fmt: skip
    network = recipe.network
    deployed = deploy(training.model, network.input).model
    weights = class_weights(recipe.training, pipeline.labels(pipeline.split.train), dataset.classes)
    return {
        **report_head(
            "train",
            seed=recipe.seed,
            seconds=training.seconds,
            data=pipeline.document(),
            warnings=largest_class_warnings(metrics["test"]),
        ),
        "network": {
            "cost": network_cost(network, training.model),
            "counters": {"fvcore": fvcore_total(deployed, network.input), "thop": thop_total(deployed, network.input)},
        },
        "epochs": history.epoch,
        "best_epoch": history.best,
        "monitor": recipe.training.monitor,
        "first_weights": history.first_weights,
        "stopped_early": history.epoch < recipe.training.epochs,
        "class_weights": None if weights is None else dict(zip(dataset.classes, weights.tolist(), strict=True)),
        "threshold": {"value": calibrated.threshold, "rule": THRESHOLD_RULE} if len(dataset.classes) == 2 else None,
        "teacher": recipe.distill and recipe.distill.teacher,
        "calibration": _calibration(pipeline, training, calibrated),
        "positive": positive_document(dataset.classes),
        "metrics": metrics,
    }


def _calibration(pipeline: Pipeline, training: FinishedTraining, calibrated: CalibratedPredictions) -> dict[str, Any]:
    """The temperature, and its effect on the test set."""
    labels = pipeline.dataset.labels[pipeline.split.test]
    predictions = {"before": training.probabilities["test"], "after": calibrated.probabilities["test"]}
    measures: dict[str, Callable[[NDArray[np.int64], NDArray[np.float64]], float]] = {
        "ece": calibration_error,
        "log_loss": cross_entropy,
    }
    return {"temperature": calibrated.temperature.value, "rule": calibrated.temperature.rule} | {
        name: {when: measure(labels, predicted) for when, predicted in predictions.items()}
        for name, measure in measures.items()
    }


def worst_mistakes(pipeline: Pipeline, calibrated: CalibratedPredictions) -> list[Mistake]:
    """The wrong predictions on the test set, most confident first."""
    probabilities, indices = calibrated.probabilities["test"], pipeline.split.test
    predictions, labels = decide(probabilities, calibrated.threshold), pipeline.dataset.labels[indices]
    confidence = probabilities[np.arange(len(predictions)), predictions]
    wrong = np.flatnonzero(predictions != labels)
    classes, dataset = pipeline.dataset.classes, pipeline.dataset
    return [
        Mistake(
            dataset.images[indices[i]],
            dataset.paths[indices[i]],
            classes[labels[i]],
            classes[predictions[i]],
            confidence[i],
        )
        for i in wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    ]


def _plots(
    pipeline: Pipeline,
    training: FinishedTraining,
    calibrated: CalibratedPredictions,
    report: Mapping[str, Any],
    mistakes: list[Mistake],
    stages: list[Stage],
) -> dict[str, bytes]:
    """The figures as PNG bytes by name."""
    rows, test = training.history.rows, report["metrics"]["test"]
    columns = zip(*((row.loss, row.val_loss, row.val_accuracy) for row in rows), strict=True)
    losses, val_losses, accuracies = map(list, columns)
    plots = {
        "curves": figures.learning_curves(losses, val_losses, accuracies, training.history.best),
        "confusion": score_figures.confusion(test["confusion"], pipeline.dataset.classes),
        **_probability_plots(pipeline, training, calibrated, test),
        "network": figures.stage_costs([f"{stage.name} {stage.kind}" for stage in stages],
                                       [stage.macs for stage in stages], [stage.params for stage in stages]),
    }  # fmt: skip
    plots |= {"errors": png(tile([mistake.image for mistake in mistakes], SHEET_COLUMNS))} if mistakes else {}
    text = stand_in_warning(report["data"])
    return {name: add_warning_bar(plot, text) if text else plot for name, plot in plots.items()}


def _probability_plots(
    pipeline: Pipeline, training: FinishedTraining, calibrated: CalibratedPredictions, test: Mapping[str, Any]
) -> dict[str, bytes]:
    """Figures of the probabilities on the test set, as far as they are defined. `test`: its part of report.json."""
    dataset, indices, predicted = pipeline.dataset, pipeline.split.test, calibrated.probabilities["test"]
    labels, classes, groups = dataset.labels[indices], dataset.classes, dataset.groups[indices]
    kinds = {"roc": (score_figures.ROC, "auc"), "precision_recall": (score_figures.PRECISION_RECALL, "pr_auc")}
    plots = {
        name: score_figures.over_thresholds(
            kind, labels, predicted, classes, groups, interval_bounds(test["per_class"], area)
        )
        for name, (kind, area) in kinds.items()
    }
    plots["reliability"] = score_figures.reliability(labels, training.probabilities["test"], predicted)
    plots["probabilities"] = score_figures.probabilities_by_class(labels, predicted, classes, calibrated.threshold)
    return {name: plot for name, plot in plots.items() if plot}


def _format_number(name: str, value: Any) -> str:
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return f"{value:.3f}" if name == "seconds" else f"{value:.8f}"
