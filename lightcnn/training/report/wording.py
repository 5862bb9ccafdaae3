"""The scores of a report.json as table rows and sentences, for the page and the model card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lightcnn.output.caveats import group_unit
from lightcnn.output.largest_class import largest_class_clause

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity (recall)",
    "specificity": "specificity",
    "precision": "precision (positive predictive value)",
    "f1": "F1",
    "auc": "area under the ROC curve",
    "pr_auc": "average precision",
    "mcc": "Matthews correlation",
    "kappa": "Cohen's kappa",
    "brier": "Brier score",
    "log_loss": "log loss",
    "ece": "expected calibration error",
}
"""The scores of a split in the order of the tables, and their titles."""
CLASS_METRICS = ("sensitivity", "specificity", "precision", "f1", "auc", "pr_auc")
"""The scores of a single class."""
SCORE_HEADER = ("score", "value", "95 % interval", "meaning")
CLASS_HEADER = ("class", "images", "groups", *(METRICS[name].partition(" (")[0] for name in CLASS_METRICS))
THRESHOLD_HEADER = ("chosen on the validation set for", "threshold", "sensitivity", "specificity", "meaning")


class ScoreText(NamedTuple):
    """A score in words: title, value, interval and meaning. `method`: how the interval was computed.

    `value` gives the reason if the score is undefined; the others are then empty.
    """

    name: str
    value: str
    interval: str
    method: str
    meaning: str


def score_texts(report: Mapping[str, Any], split: str = "test") -> list[ScoreText]:
    """Every score of the test set, or of the validation set: the `split` "val"."""
    scores, classes = report["metrics"][split], report["data"]["classes"]
    rows: list[ScoreText] = []
    for key, name in METRICS.items():
        score = scores[key]
        meaning = "" if score["value"] is None else _meaning(key, score["value"], classes, scores)
        method = "" if score["low"] is None else score["interval"]
        rows.append(ScoreText(name, format_value(score), format_interval(score), method, meaning))
    return rows


def score_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """One row of `SCORE_HEADER` per score of the test set."""
    return [(text.name, text.value, text.interval, text.meaning) for text in score_texts(report)]


def format_value(score: Mapping[str, Any]) -> str:
    """The value of a score, or why it is undefined."""
    return f"undefined: {score['undefined']}" if score["value"] is None else f"{score['value']:.3f}"


def format_interval(score: Mapping[str, Any]) -> str:
    """Both ends of a score's interval, or why it has none; empty if the score is undefined."""
    return score["interval"] or "" if score["low"] is None else f"{score['low']:.3f} to {score['high']:.3f}"


def format_score(score: Mapping[str, Any]) -> str:
    """Value and interval in one table cell."""
    return format_value(score) if score["low"] is None else f"{format_value(score)} ({format_interval(score)})"


def class_rows(report: Mapping[str, Any], limit: int | None = None) -> list[tuple[Any, ...]]:
    """One row of `CLASS_HEADER` per class.

    If there are more classes than `limit`, the rows are those with the lowest sensitivity, in ascending order of it.
    """
    rows = list(report["metrics"]["test"]["per_class"].items())
    if limit is not None and len(rows) > limit:
        ranks = [(scores["sensitivity"]["value"] is None, scores["sensitivity"]["value"]) for _, scores in rows]
        rows = [rows[place] for place in sorted(range(len(rows)), key=lambda place: ranks[place])[:limit]]
    return [
        (name, scores["images"], scores["groups"], *(format_score(scores[metric]) for metric in CLASS_METRICS))
        for name, scores in rows
    ]


def threshold_rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row of `THRESHOLD_HEADER` per threshold that was chosen for a target; none for more than two classes."""
    test, classes = report["metrics"]["test"], report["data"]["classes"]
    rows: list[tuple[str, ...]] = []
    for key, rate in (("at_specificity", "specificity"), ("at_sensitivity", "sensitivity")):
        for target, point in (test[key] or {}).items():
            sensitivity, specificity = point["sensitivity"], point["specificity"]
            meaning = "" if None in (sensitivity["value"], specificity["value"]) else (
                f"{per_hundred(sensitivity['value'])} of 100 images of {classes[1]} are recognised; "
                f"{per_hundred(1 - specificity['value'])} of 100 images of {classes[0]} are classified as {classes[1]}"
            )  # fmt: skip
            missing = "each part's own" if "parts" in report else "none"
            threshold = missing if point["threshold"] is None else f"{point['threshold']:.3f}"
            rows.append(
                (f"{rate} of {target}", threshold, format_score(sensitivity), format_score(specificity), meaning)
            )
    return rows


def interval_methods(report: Mapping[str, Any]) -> str:
    """How the intervals were computed, each method once."""
    return "; ".join(dict.fromkeys(text.method for text in score_texts(report) if text.method))


def small_test_set(report: Mapping[str, Any]) -> str:
    """A warning if the test set is small, else nothing."""
    warning = report["metrics"]["test"]["warning"]
    return f"Test set: {warning}." if warning else ""


def sample_size(report: Mapping[str, Any]) -> str:
    """The number of images and groups that the scores are computed on."""
    test, source = report["metrics"]["test"], report["data"]["groups"]
    groups = (
        f"from {test['groups']:,} groups (images of one group are not independent, so intervals resample groups)"
        if source["known"]
        else f"without known patients: {group_unit(source['source'])} counts as independent, so intervals may be too "
        "narrow"
    )
    return f"{test['images']:,} images {groups}."


def calibration(report: Mapping[str, Any]) -> str:
    """The effect of temperature scaling."""
    result = report["calibration"]
    change = ", ".join(
        f"{METRICS[name]} {result[name]['before']:.3f} before and {result[name]['after']:.3f} after"
        for name in ("ece", "log_loss")
    )
    return f"Logits are divided by the temperature {result['temperature']:.3f} ({result['rule']}). Test set: {change}."


def decision_rule(report: Mapping[str, Any]) -> str:
    """How a class is predicted from the probabilities."""
    if report["threshold"] is None:
        return "The predicted class is the most probable one."
    second, threshold = report["data"]["classes"][1], report["threshold"]
    return f"{second} is predicted if its probability is at least {threshold['value']:.4f} ({threshold['rule']})."


def per_hundred(share: float) -> str:
    """A share as a number out of 100, with one decimal unless it is 0."""
    return f"{100 * share:.1f}".removesuffix(".0")


def _meaning(key: str, score: float, classes: list[str], scores: Mapping[str, Any]) -> str:
    """What a defined score means; `scores` are all of the same images."""
    two, count, mean = len(classes) == 2, per_hundred(score), " (mean over the classes)"
    first, second = classes[:2]
    share = scores["per_class"][second]["images"] / scores["images"]
    return {
        "accuracy": f"{count} of 100 images are classified correctly{largest_class_clause(scores)}",
        "balanced_accuracy": f"accuracy if all classes had the same number of images: {count} of 100",
        "sensitivity": f"{count} of 100 images of {second} are recognised" if two
        else f"{count} of 100 images of a class are recognised{mean}",
        "specificity": f"{count} of 100 images of {first} are not classified as {second}" if two
        else f"{count} of 100 images of other classes are not classified as a class{mean}",
        "precision": f"{count} of 100 predictions of “{second}” are correct, at this share of {second} among the images"
        if two else f"{count} of 100 predictions of a class are correct{mean}",
        "f1": "harmonic mean of sensitivity and precision; 1 is best" + ("" if two else mean),
        "auc": f"in {count} of 100 pairs of an image of {second} and one of {first}, the image of {second} gets the "
        "higher probability" if two
        else f"in {count} of 100 pairs of an image of a class and another image, the former gets the higher "
        f"probability of the class{mean}",
        "pr_auc": "precision averaged over all thresholds" + (f"; guessing gives {share:.3f}" if two else mean),
        "mcc": "1: all predictions are correct; 0: no better than guessing; −1: all predictions are wrong",
        "kappa": "agreement beyond chance: 1 is perfect, 0 is none",
        "brier": "mean squared distance between probabilities and true classes; 0 is best",
        "log_loss": f"0 is best; equal probabilities for all classes give {math.log(len(classes)):.3f}",
        "ece": f"the probability of a prediction is off by {count} in 100 on average",
    }[key]  # fmt: skip
