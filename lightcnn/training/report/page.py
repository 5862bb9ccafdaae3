"""report.html of a training: what `page.html` shows. `shared_context` is that of several trainings too."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.data.contact_sheets import thumbnail
from lightcnn.data.sources.arrays import are_given
from lightcnn.engine.history import History
from lightcnn.module_spec import ModuleSpec
from lightcnn.output import html
from lightcnn.output.caveats import groups_clause, page_cautions
from lightcnn.output.charts.network_drawing import is_wide, network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, Stage, stage_rows
from lightcnn.output.charts.svg import Chart
from lightcnn.output.confusion_table import confusion_table
from lightcnn.output.largest_class import KEY, largest_class_sentence
from lightcnn.output.positive_class import positive_sentence
from lightcnn.output.report import device_bytes
from lightcnn.recipe import RECIPE_FILE, Optimisation, Recipe
from lightcnn.training.report import wording
from lightcnn.training.report.tables import (
    confidence_table,
    epoch_table,
    threshold_table,
    thresholds_of,
)

COUNTING_NOTE = (
    "One FLOP is one multiply-add. Convolutions, linear layers and matrix products are counted for one image, on the "
    "network with its norms folded. fvcore and thop also count pooling, and norms that cannot be folded."
)
THUMBNAIL_PIXELS = 96
MAX_CLASSES_IN_COLUMN = 20
"""Maximum number of classes of a confusion matrix that fits into half of a page."""
CHARTS = {
    "confusion": ("Confusion matrix",
                  "Rows are true classes, columns are predictions. Mistakes are orange, empty cells are 0."),
    "curves": ("Training", "The weights of the epoch with the best validation score are kept."),
    "roc": ("ROC curve", "Sensitivity over 1 − specificity for every threshold, with the area and its 95 % interval."),
    "precision_recall": ("Precision and recall",
                         "Precision over recall for every threshold, with the average precision."),
    "reliability": ("Calibration", "Of the predictions with a probability of 80 %, four in five should be correct."),
    "probabilities": ("Probabilities", "How sure the network is of the test images."),
    "thresholds": ("Thresholds", "The bands are 95 % intervals. The slider shows the numbers."),
}  # fmt: skip
"""Title and caption of each chart, in their order."""


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction on the test set. `image` is uint8 (H, W, C)."""

    image: NDArray[np.uint8]
    path: str
    label: str
    prediction: str
    probability: float


def train_page(
    report: Mapping[str, Any],
    recipe: Recipe,
    history: History,
    charts: Mapping[str, Chart],
    mistakes: Sequence[Mistake],
    stages: Sequence[Stage],
    folder: Path,
) -> bytes:
    """The complete page of one training in the run folder `folder`."""
    context = shared_context(report, recipe, stages, charts, CHARTS) | {
        "certainty": "The interval shows how much the score would vary with other test images, not how much it varies "
        "between trainings. The test set was evaluated once; weights, temperature and threshold were chosen on the "
        "validation set.",
        "commands": next_commands(folder, recipe, repeat_command(folder, {"seeds": 5}),
                                  "Train it with five seeds, to see how much the score varies between trainings"),
        "thresholds": threshold_table(thresholds_of(report)),
        "mistakes": [_mistake(mistake) for mistake in mistakes],
        "mistakes_sentence": _mistakes_sentence(report, len(mistakes)),
        "calibration": confidence_table(report["calibration"]["bins"]) | {"sentence": wording.calibration(report)},
        "training": _training(report, recipe, history),
        "epochs": epoch_table(history),
    }  # fmt: skip
    return html.render("training/report/page.html", page_title(report, recipe), context)


def shared_context(
    report: Mapping[str, Any],
    recipe: Recipe,
    stages: Sequence[Stage],
    charts: Mapping[str, Chart],
    captions: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """What the pages of one and of several trainings show."""
    test, data, cautions = report["metrics"]["test"], report["data"], page_cautions(report)
    largest = test.get(KEY)
    return {
        "name": recipe.name or "A network", "source": data["source"], "repeats": "",
        "cautions": cautions._replace(serious=[*cautions.serious, *filter(None, [wording.small_test_set(report)])]),
        "score": test["accuracy"], "answer": _answer(report),
        "reference": largest["accuracy"] if largest else None,
        "reference_name": f"always predicting {largest['class'] or 'the largest class'}" if largest else "",
        "costs": _costs(report),
        "drawing": network_svg(recipe.network.name, recipe.network.input, stages),
        "network": {"header": TABLE_HEADER, "rows": stage_rows(stages), "note": COUNTING_NOTE,
                    "text": document.dump(recipe.network)},
        "charts": [(title, charts[name], caption) for name, (title, caption) in captions.items() if name in charts],
        "wide_network": is_wide(stages),
        "wide_confusion": len(data["classes"]) > MAX_CLASSES_IN_COLUMN,
        "scores": {"header": wording.SCORE_HEADER, "rows": wording.score_rows(report), "notes": _score_notes(report)},
        "classes": {"header": wording.CLASS_HEADER, "rows": wording.class_rows(report)},
        "confusions": confusion_table(test["confusion"], data["classes"]),
        "operating": {"header": wording.THRESHOLD_HEADER, "rows": wording.threshold_rows(report)},
        "data": _data(data), "data_summary": f"{sum(data['counts'].values()):,} images",
    }  # fmt: skip


def next_commands(folder: Path, recipe: Recipe, repeat: str, reason: str) -> list[tuple[str, str]]:
    """What to do with the network in a run folder, as texts and commands, or lines of Python for an own module."""
    run = shlex.quote(str(folder))
    if isinstance(recipe.network, ModuleSpec):
        load = f"run = lightcnn.Run.load({str(folder)!r}, network={recipe.network.module}())"
        return [
            ("Open the run in Python; it has the weights of the module, but not its code", load),
            ("Classify new images", 'run.predict(["photograph.jpg"])'),
            ("Show where the network looks", 'lightcnn.explain(run, ["photograph.jpg"])'),
            ("Write the network for other runtimes", 'lightcnn.export(run, "onnx")'),
        ]
    if are_given():
        export = f'lightcnn.export({str(folder)!r}, "onnx,c", data=(X, y))'
        return [
            ("Classify new images", f"lightcnn predict {run} photographs"),
            ("Show where the network looks", f"lightcnn explain {run} photographs"),
            ("Write the network for other runtimes and for microcontrollers, with the same arrays in Python", export),
            (f"{reason}, with the same arrays in Python", repeat),
        ]
    return [
        ("Classify new images", f"lightcnn predict {run} photographs"),
        ("Show where the network looks, on test images", f"lightcnn explain {run} --images 8"),
        ("Write the network for other runtimes and for microcontrollers", f"lightcnn export {run} --to onnx,c"),
        (reason, repeat),
    ]


def repeat_command(folder: Path, counts: Mapping[str, int]) -> str:
    """What trains the recipe in a folder again, with so many `folds` or `seeds`; of arrays, a line of Python."""
    if are_given():
        options = "".join(f", {name}={count}" for name, count in counts.items())
        return f"lightcnn.train({f'{folder}/{RECIPE_FILE}'!r}, data=(X, y){options})"
    options = "".join(f" --{name} {count}" for name, count in counts.items())
    return f"lightcnn train {shlex.quote(str(folder))}/{RECIPE_FILE}{options}"


def page_title(report: Mapping[str, Any], recipe: Recipe) -> str:
    """The title in the window of the browser."""
    return f"lightcnn train: {recipe.name or 'a network'} on {report['data']['source']}"


def _answer(report: Mapping[str, Any]) -> str:
    """Interval, number of images and groups, and the largest class, in words."""
    test = report["metrics"]["test"]
    accuracy, groups = test["accuracy"], report["data"]["groups"]
    count = f" from {test['groups']:,} groups" if groups["known"] else ""
    return (
        f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%} on {test['images']:,} test images{count}. "
        f"{largest_class_sentence(test)}"
    )


def _costs(report: Mapping[str, Any]) -> dict[str, Any]:
    total, counters = report["network"]["cost"], report["network"]["counters"]
    return {
        "FLOPs (multiply-adds)": total["macs"],
        "FLOPs counted by fvcore": counters["fvcore"],
        "FLOPs counted by thop": counters["thop"],
        "parameters": total["params"],
        "int8 weight bytes": total["weight_bytes"]["int8"],
        "peak int8 activation bytes": total["peak_activations"],
        **device_bytes(total),
    }


def _score_notes(report: Mapping[str, Any]) -> list[str]:
    """How the scores were computed."""
    sentences = [
        positive_sentence(report),
        wording.sample_size(report),
        f"Methods of the intervals: {wording.interval_methods(report)}.",
        "Areas under curves are computed for each network and averaged, since probabilities of different networks are "
        "not comparable." if "parts" in report else wording.decision_rule(report),
    ]  # fmt: skip
    return [sentence for sentence in sentences if sentence]


def _mistakes_sentence(report: Mapping[str, Any], shown: int) -> str:
    test = report["metrics"]["test"]
    wrong = test["images"] - sum(row[place] for place, row in enumerate(test["confusion"]))
    if not wrong:
        return f"All {test['images']:,} test images are classified correctly."
    which = "All are shown" if shown == wrong else f"The {shown} most confident ones are shown"
    return (
        f"{wrong:,} of {test['images']:,} test images are classified wrongly. {which}: the predicted class with its "
        "probability, and the true class."
    )


def _mistake(mistake: Mistake) -> dict[str, Any]:
    return {
        "jpeg": thumbnail(mistake.image, THUMBNAIL_PIXELS), "prediction": mistake.prediction, "label": mistake.label,
        "probability": f"{mistake.probability:.0%}", "file": mistake.path.rpartition("/")[2],
    }  # fmt: skip


def _training(report: Mapping[str, Any], recipe: Recipe, history: History) -> dict[str, Any]:
    """How the network was trained, with every setting that is not the default."""
    default, weights = Optimisation(), report["class_weights"]
    reason = "all epochs of the recipe"
    if report["stopped_early"]:
        gave_up = history.ended(recipe.training)
        reason = f"no gain in {history.since} epochs" if gave_up else "their time was used"
    rows: dict[str, Any] = {
        "epochs": f"{history.epoch} ({reason}); the best by validation {recipe.training.monitor} was {history.best}",
        "seconds": report["seconds"],
        "first weights": report["first_weights"],
        "class weights": "none: all images have the same weight"
        if weights is None
        else ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())
        + " (class weights shift the probabilities; calibrate them before use)",
    }
    if recipe.distill:
        rows["teacher"] = (
            f"{recipe.distill.teacher}, with weight {recipe.distill.alpha:g} in the loss, at temperature "
            f"{recipe.distill.temperature:g}"
        )
    for name, value in recipe.training:
        if name in ("optimizer", "schedule", "learning_rate", "batch") or value != getattr(default, name):
            rows.setdefault(f"training.{name}", str(value))
    return rows | {f"augment.{name}": str(value) for name, value in recipe.augment if value}


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{f"{name} images": count for name, count in data["counts"].items()},
        "groups": groups_clause(data["groups"]),
        "groups in more than one set": data["groups_shared"],
        "fingerprint": data["fingerprint"][:16],
    }
