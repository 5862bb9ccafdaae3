"""The scores of a report.json in rows and sentences, for the page and the card: numbers with what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

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
"""Scores of a side, in the order in which they are told, and their names."""
OF_CLASS = ("sensitivity", "specificity", "precision", "f1", "auc", "pr_auc")


class ScoreText(NamedTuple):
    """A score as it is read: its name, value, interval and meaning; or why it has none of them. `method`: how the
    interval was found."""

    name: str
    value: str
    interval: str
    method: str
    meaning: str


def told(report: Mapping[str, Any]) -> list[ScoreText]:
    """Every score of the test side."""
    test, classes = report["metrics"]["test"], report["data"]["classes"]
    rows: list[Any] = []
    for key, name in METRICS.items():
        score = test[key]
        meaning = "" if score["value"] is None else _meaning(key, score["value"], classes, test)
        method = "" if score["low"] is None else score["interval"]
        rows.append(ScoreText(name, value(score), interval(score), method, meaning))
    return rows


def value(score: Mapping[str, Any]) -> str:
    """A score's number, or why there is none."""
    return f"undefined: {score['undefined']}" if score["value"] is None else f"{score['value']:.3f}"


def interval(score: Mapping[str, Any]) -> str:
    """From where to where, or why there is none; nothing of a score that is undefined."""
    return score["interval"] or "" if score["low"] is None else f"{score['low']:.3f} to {score['high']:.3f}"


def both(score: Mapping[str, Any]) -> str:
    """Number and interval in one cell."""
    return value(score) if score["low"] is None else f"{value(score)} ({interval(score)})"


def by_class(report: Mapping[str, Any], most: int | None = None) -> list[tuple[Any, ...]]:
    """A row a class: name, images, groups and scores; at most so many, those of the lowest sensitivity first then."""
    rows = list(report["metrics"]["test"]["per_class"].items())
    if most is not None and len(rows) > most:
        found = [(of["sensitivity"]["value"] is None, of["sensitivity"]["value"]) for _, of in rows]
        rows = [rows[place] for place in sorted(range(len(rows)), key=lambda place: found[place])[:most]]
    return [(name, of["images"], of["groups"], *(both(of[score]) for score in OF_CLASS)) for name, of in rows]


CLASS_HEADER = ("class", "images", "groups", *(METRICS[name].partition(" (")[0] for name in OF_CLASS))


def operating(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a threshold, of two classes: what it is chosen for, the threshold, what it reaches, what that means."""
    test, classes = report["metrics"]["test"], report["data"]["classes"]
    rows: list[Any] = []
    for key, rate in (("at_specificity", "specificity"), ("at_sensitivity", "sensitivity")):
        for target, point in (test[key] or {}).items():
            found, spared = point["sensitivity"], point["specificity"]
            meaning = "" if None in (found["value"], spared["value"]) else (
                f"of 100 images of {classes[1]} {hundred(found['value'])} are found, and of 100 of {classes[0]} "
                f"{hundred(1 - spared['value'])} are taken for it"
            )  # fmt: skip
            several = "each part's own" if "parts" in report else "none"
            threshold = several if point["threshold"] is None else f"{point['threshold']:.3f}"
            rows.append((f"{rate} of {target}", threshold, both(found), both(spared), meaning))
    return rows


OPERATING_HEADER = ("chosen on the validation side for", "threshold", "sensitivity", "specificity", "in words")


def methods(report: Mapping[str, Any]) -> str:
    """How intervals were found, each way once."""
    return "; ".join(dict.fromkeys(one.method for one in told(report) if one.method))


def warned(report: Mapping[str, Any]) -> str:
    """What the test side has too little of; nothing where it has enough."""
    found = report["metrics"]["test"]["warning"]
    return f"The test side is {found}." if found else ""


def counted(report: Mapping[str, Any]) -> str:
    """How many images and groups the scores rest on."""
    test, known = report["metrics"]["test"], report["data"]["groups"]["known"]
    groups = (
        f"of {test['groups']:,} groups (images of one group are no independent witnesses: intervals count groups)"
        if known
        else "whose groups are not known: every image counts as independent, and intervals may be too narrow"
    )
    return f"{test['images']:,} images {groups}."


def calibrated(report: Mapping[str, Any]) -> str:
    """What calibration did, in one sentence."""
    found = report["calibration"]
    change = ", ".join(
        f"{METRICS[name]} {found[name]['before']:.3f} before, {found[name]['after']:.3f} after"
        for name in ("ece", "log_loss")
    )
    return f"Logits are divided by the temperature {found['temperature']:.3f} ({found['rule']}). Test side: {change}."


def decided(report: Mapping[str, Any]) -> str:
    """When an answer is given."""
    if report["threshold"] is None:
        return "The answer is the most probable class."
    second, chosen = report["data"]["classes"][1], report["threshold"]
    return f"The answer is {second} from a probability of {chosen['value']:.4f} on ({chosen['rule']})."


def hundred(share: float) -> str:
    """How many of 100, with a digit behind the point where that is not 0."""
    return f"{100 * share:.1f}".removesuffix(".0")


def _meaning(key: str, score: float, classes: list[str], test: Mapping[str, Any]) -> str:
    """A defined score in plain words."""
    two, many, half = len(classes) == 2, hundred(score), " (mean over the classes)"
    first, second = classes[:2]
    share = test["per_class"][second]["images"] / test["images"]
    return {
        "accuracy": f"of 100 images {many} are told right",
        "balanced_accuracy": f"the same if every class had as many images: {many} of 100",
        "sensitivity": f"of 100 images of {second} {many} are found" if two
        else f"of 100 images of a class {many} are found{half}",
        "specificity": f"of 100 images of {first} {many} are not taken for {second}" if two
        else f"of 100 images of other classes {many} are not taken for a class{half}",
        "precision": f"of 100 answers “{second}” {many} are right, at this share of {second} among the images" if two
        else f"of 100 answers for a class {many} are right{half}",
        "f1": "harmonic mean of sensitivity and precision: 1 is best" + ("" if two else half),
        "auc": f"of 100 pairs of an image of {second} and one of {first}, {many} are ranked rightly" if two
        else f"of 100 pairs of an image of a class and another, {many} are ranked rightly{half}",
        "pr_auc": "precision, averaged over all thresholds" + (f"; guessing reaches {share:.3f}" if two else half),
        "mcc": "1: answers and classes agree; 0: no more than by guessing; −1: they are opposite",
        "kappa": "agreement beyond chance: 1 is full, 0 is none",
        "brier": "mean squared distance of the probabilities from the truth: 0 is best",
        "log_loss": f"0 is best; equal probabilities have {math.log(len(classes)):.3f}",
        "ece": f"the probability of an answer is off by {many} in 100, on the mean",
    }[key]  # fmt: skip
