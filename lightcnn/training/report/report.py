"""The results of a training: network, predictions, figures, report.json, report.html and model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.counting.folding import deploy
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.counting.stages import network_cost
from lightcnn.counting.stages import stages as network_stages
from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import positive_document
from lightcnn.data.preprocess import Preprocess
from lightcnn.decisions import decide
from lightcnn.devices import device_name
from lightcnn.engine.history import History, Row
from lightcnn.engine.losses import class_weights
from lightcnn.evaluation.calibration import (
    calibration_error,
    confidence_bins,
    cross_entropy,
)
from lightcnn.evaluation.predictions import (
    hashes_of_test_images,
    prediction_table,
    write_predictions,
    write_test_images,
)
from lightcnn.evaluation.score_values import largest_class
from lightcnn.evaluation.scores import scores
from lightcnn.evaluation.thresholds import abstentions
from lightcnn.inference import measure_unlikeness
from lightcnn.output.charts.network_drawing import NETWORK_FILE, network_file
from lightcnn.output.largest_class import KEY, largest_class_warnings
from lightcnn.output.report import report_head
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder, environment
from lightcnn.training.report.card_facts import CardFacts
from lightcnn.training.report.chart_set import contact_sheet, training_charts
from lightcnn.training.report.model_card import model_card
from lightcnn.training.report.page import Mistake, train_page
from lightcnn.training.report.predictions import CalibratedPredictions, FinishedTraining, calibrate
from lightcnn.training.setup import stand_in_warning
from lightcnn.weights import weights_file

METRIC_COLUMNS = tuple(Row.model_fields)
"""The columns of metrics.csv."""
MAX_MISTAKES = 24
"""Wrong predictions on the test set that the report shows."""
THRESHOLD_RULE = "highest balanced accuracy on the validation set; among equal thresholds the one nearest to 0.5"


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
    charts = training_charts(pipeline, training, calibrated, report, stages)
    for name, content in (
        contact_sheet(report, mistakes) | {name: drawn.png for name, drawn in charts.items()}
    ).items():
        run.write_bytes(f"plots/{name}.png", content)
    run.write_bytes(NETWORK_FILE, network_file(recipe.network.name, recipe.network.input, stages))
    run.write_bytes("report.html", train_page(report, recipe, training.history, charts, mistakes, stages, run.path))
    run.write_bytes("README.md", model_card(_card_facts(run, pipeline, report, recipe, preprocess)))
    run.write_json("report.json", report)


def _card_facts(
    run: RunFolder, pipeline: Pipeline, report: Mapping[str, Any], recipe: Recipe, preprocess: Preprocess
) -> CardFacts:
    given = [name for name in SPLIT_NAMES if (pipeline.dataset.split == name).any()]
    machine = environment()
    return CardFacts(report, recipe, preprocess, given, device_name(pipeline.device), machine)


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
        "abstentions": None
        if len(dataset.classes) == 2
        else abstentions(
            dataset.labels[pipeline.split.test], calibrated.probabilities["test"], dataset.groups[pipeline.split.test]
        ),
        "calibration": _calibration(pipeline, training, calibrated),
        "positive": positive_document(dataset.classes),
        "metrics": metrics,
    }


def _calibration(pipeline: Pipeline, training: FinishedTraining, calibrated: CalibratedPredictions) -> dict[str, Any]:
    """The temperature, its effect on the test set, and the accuracy by confidence there."""
    dataset, test = pipeline.dataset, pipeline.split.test
    labels, bins = (
        dataset.labels[test],
        confidence_bins(dataset.labels[test], calibrated.probabilities["test"], dataset.groups[test]),
    )
    predictions = {"before": training.probabilities["test"], "after": calibrated.probabilities["test"]}
    measures: dict[str, Callable[[NDArray[np.int64], NDArray[np.float64]], float]] = {
        "ece": calibration_error,
        "log_loss": cross_entropy,
    }
    return {
        "temperature": calibrated.temperature.value,
        "rule": calibrated.temperature.rule,
        "bins": [part._asdict() for part in bins],
    } | {
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


def _format_number(name: str, value: Any) -> str:
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return f"{value:.3f}" if name == "seconds" else f"{value:.8f}"
