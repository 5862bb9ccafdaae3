"""The charts and the contact sheet of a finished training, with a warning bar if its images are a stand-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.data.contact_sheets import png, tile
from lightcnn.data.pipeline import Pipeline
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.scores import interval_bounds
from lightcnn.output.charts.figures import add_warning_bar
from lightcnn.output.charts.network_table import Stage
from lightcnn.output.charts.svg import Chart
from lightcnn.training.report import figures
from lightcnn.training.report.page import Mistake
from lightcnn.training.report.predictions import CalibratedPredictions, FinishedTraining
from lightcnn.training.report.tables import thresholds_of
from lightcnn.training.setup import stand_in_warning

SHEET_COLUMNS = 8
"""Images per row of errors.png."""


def contact_sheet(report: Mapping[str, Any], mistakes: list[Mistake]) -> dict[str, bytes]:
    """The images of the mistakes in one PNG file; none without mistakes."""
    if not mistakes:
        return {}
    sheet, text = png(tile([mistake.image for mistake in mistakes], SHEET_COLUMNS)), stand_in_warning(report["data"])
    return {"errors": add_warning_bar(sheet, text) if text else sheet}


def training_charts(
    pipeline: Pipeline,
    training: FinishedTraining,
    calibrated: CalibratedPredictions,
    report: Mapping[str, Any],
    stages: list[Stage],
) -> dict[str, Chart]:
    """The charts by name."""
    rows, test, thresholds = training.history.rows, report["metrics"]["test"], thresholds_of(report)
    columns = zip(*((row.loss, row.val_loss, row.val_accuracy) for row in rows), strict=True)
    losses, val_losses, accuracies = map(list, columns)
    charts = {
        "curves": figures.learning_curves(losses, val_losses, accuracies, training.history.best),
        "confusion": score_figures.confusion(test["confusion"], pipeline.dataset.classes),
        **_probability_charts(pipeline, training, calibrated, test),
        "thresholds": figures.threshold_rates(thresholds.steps, thresholds.rates, thresholds.axis, thresholds.chosen),
        "network": figures.stage_costs([f"{stage.name} {stage.kind}" for stage in stages],
                                       [stage.macs for stage in stages], [stage.params for stage in stages]),
    }  # fmt: skip
    return {name: drawn.with_warning(stand_in_warning(report["data"])) for name, drawn in charts.items()}


def _probability_charts(
    pipeline: Pipeline, training: FinishedTraining, calibrated: CalibratedPredictions, test: Mapping[str, Any]
) -> dict[str, Chart]:
    """Charts of the probabilities on the test set, as far as they are defined. `test`: its part of report.json."""
    dataset, indices, predicted = pipeline.dataset, pipeline.split.test, calibrated.probabilities["test"]
    labels, classes, groups = dataset.labels[indices], dataset.classes, dataset.groups[indices]
    kinds = {"roc": (score_figures.ROC, "auc"), "precision_recall": (score_figures.PRECISION_RECALL, "pr_auc")}
    charts = {
        name: score_figures.over_thresholds(
            kind, labels, predicted, classes, groups, interval_bounds(test["per_class"], area)
        )
        for name, (kind, area) in kinds.items()
    }
    charts["reliability"] = figures.reliability(labels, training.probabilities["test"], predicted, groups)
    charts["probabilities"] = figures.probabilities_by_class(labels, predicted, classes, calibrated.threshold)
    return {name: drawn for name, drawn in charts.items() if drawn}
