"""Tables of a training's page: thresholds, bins of confidence and epochs, each with its header and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lightcnn.engine.history import History

EPOCH_COLUMNS = ("epoch", "loss", "val_loss", "val_accuracy", "val_balanced_accuracy", "val_f1", "val_auc", "seconds")


class Thresholds(NamedTuple):
    """What depends on a threshold: `rates` are keys and titles of the scores of each step, which ascend by threshold.

    `chosen` is the threshold of the run, if it has one.
    """

    title: str
    explanation: str
    axis: str
    rates: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    chosen: float | None


def thresholds_of(report: Mapping[str, Any]) -> Thresholds:
    """Sensitivity and specificity of two classes; of more, what remains if unsure images are left undecided."""
    if report["threshold"] is None:
        return Thresholds(
            "How sure must a prediction be?",
            "Images whose most probable class is below the threshold can be left undecided, for example to be looked "
            "at by a person. These are the shares of the test images that remain, and of those that are correct. "
            "Choose a threshold with other images than these.",
            "lowest probability of a prediction", {"accuracy": "accuracy of these", "coverage": "images decided"},
            report["abstentions"], None,
        )  # fmt: skip
    test, chosen = report["metrics"]["test"], report["threshold"]["value"]
    first, second = report["data"]["classes"]
    point = {"threshold": chosen} | {rate: test[rate] for rate in ("sensitivity", "specificity")}
    steps = [step for step in test["at_threshold"].values() if step["threshold"] != chosen]
    return Thresholds(
        "Which threshold?",
        f"An image is predicted as {second} if its probability is at least the threshold. A lower threshold recognises "
        f"more images of {second} (sensitivity), and takes more images of {first} for {second} (specificity). The run "
        f"uses {chosen:.3f}: {report['threshold']['rule']}. Choose another one with other images than these.",
        "threshold on the probability", {"sensitivity": "sensitivity", "specificity": "specificity"},
        sorted([*steps, point], key=lambda step: float(step["threshold"])), chosen,
    )  # fmt: skip


def threshold_table(thresholds: Thresholds) -> dict[str, Any]:
    """One row per step, of which a slider shows one at a time; `best` is the one of the run."""
    keys = [step["threshold"] for step in thresholds.steps]
    middle = min(range(len(keys)), key=lambda place: abs(keys[place] - 0.5))
    return {
        "title": thresholds.title,
        "explanation": thresholds.explanation,
        "header": ("threshold", *thresholds.rates.values()),
        "rows": [
            (f"{step['threshold']:.3f}", [_rate_texts(step[key]) for key in thresholds.rates])
            for step in thresholds.steps
        ],
        "best": middle if thresholds.chosen is None else keys.index(thresholds.chosen),
    }


def _rate_texts(score: Mapping[str, Any]) -> tuple[str, str]:
    """A share and its interval, or why it is undefined."""
    if score["value"] is None:
        return "undefined", str(score["undefined"])
    return f"{score['value']:.1%}", f"95 % interval {score['low']:.1%} to {score['high']:.1%}"


def confidence_table(bins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row per bin of confidence."""
    rows = [
        (
            f"from {part['start']:.1%}", part["images"], f"{part['confidence']:.1%}", f"{part['accuracy']:.1%}",
            f"{part['low']:.1%} to {part['high']:.1%}",
        )
        for part in bins
    ]  # fmt: skip
    header = ("probability", "images", "mean probability", "predicted correctly", "95 % interval")
    return {"header": header, "rows": rows}


def epoch_table(history: History) -> dict[str, Any]:
    """One row per epoch; `best` is the one whose weights were kept."""
    values = [[getattr(row, name) for name in EPOCH_COLUMNS] for row in history.rows]
    return {
        "header": [name.replace("val_", "validation ").replace("_", " ") for name in EPOCH_COLUMNS],
        "rows": [["" if value is None else value for value in row] for row in values],
        "best": history.best - 1,
    }
