"""The metrics that a search can maximise, in words. No numpy: the command line and the settings read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

MetricName = Literal["accuracy", "balanced_accuracy", "auc", "f1", "log_loss"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
EQUAL_CLASSES: tuple[MetricName, ...] = ("balanced_accuracy", "auc", "f1")
"""Metrics in which every class counts alike, however many images it has."""


def metric_label(metric: str) -> str:
    """A metric as people write it."""
    return {"auc": "AUC", "f1": "F1"}.get(metric, metric.replace("_", " "))


def rank(metric: str, value: float) -> float:
    """A value of a metric with the sign that makes higher numbers better."""
    return -value if metric == "log_loss" else value


def format_value(metric: str, value: float) -> str:
    """A value of a metric: a log loss as it is, others in percent."""
    return f"{value:.4f}" if metric == "log_loss" else f"{value:.2%}"


def format_score(metric: str, score: Mapping[str, Any]) -> str:
    """A score of report.json with its interval."""
    if score["value"] is None:
        return "undefined"
    numbers = [score["value"], *(score[bound] for bound in ("low", "high") if score[bound] is not None)]
    texts = [format_value(metric, number) for number in numbers]
    return f"{texts[0]} ({texts[1]} to {texts[2]})" if len(texts) == 3 else texts[0]
