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
from lightcnn.cost import Layer, layers
from lightcnn.counters import cost_document, fvcore_total, parts, thop_total
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sheets import png, tile
from lightcnn.evaluation import plots
from lightcnn.evaluation.predictions import prediction_table
from lightcnn.evaluation.scores import best_threshold, cross_entropy, scores
from lightcnn.learning.bench import warning
from lightcnn.learning.page import Mistake, Stage, train_page
from lightcnn.network import fold
from lightcnn.predict import decide
from lightcnn.recipe import Recipe
from lightcnn.run import Run
from lightcnn.spec import NetworkSpec
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
    mistakes, stages = worst(pipeline, done), by_stage(done)
    pictures = _pictures(pipeline, done, report, mistakes, stages)
    for name, picture in pictures.items():
        run.write_bytes(f"plots/{name}.png", picture)
    run.write_bytes("report.html", train_page(report, recipe, done.progress, pictures, mistakes, stages))
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
            "cost": cost_document(network, done.model),
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


def by_stage(done: Finished) -> list[Stage]:
    """What each block of stem, stages and head costs; of a baseline, each of its named modules."""
    network = done.recipe.network
    if isinstance(network, NetworkSpec):
        return _blocks(network)
    return [
        Stage(part.name, part.kind, part.shape, part.macs, part.params) for part in parts(done.model, network.input)
    ]


def _blocks(network: NetworkSpec) -> list[Stage]:
    found = dict[str, list[Layer]]()
    for layer in layers(network):
        part = layer.name.split(".")
        found.setdefault(".".join(part[:2]) if part[0] in ("stem", "stages") else "head", []).append(layer)
    kinds = {
        f"{part}.{number}": f"{block.kind} ×{getattr(block, 'depth', 1)}" if getattr(block, "depth", 1) > 1
        else block.kind
        for part in ("stem", "stages") for number, block in enumerate(getattr(network, part))
    }  # fmt: skip
    return [
        Stage(
            name,
            kinds.get(name, "pooling and classifier"),
            held[-1].shape,
            sum(layer.cost.macs for layer in held),
            sum(layer.cost.params for layer in held),
        )
        for name, held in found.items()
    ]


def _pictures(
    pipeline: Pipeline, done: Finished, report: Mapping[str, Any], mistakes: list[Mistake], stages: list[Stage]
) -> dict[str, bytes]:
    """The plots by name."""
    rows, classes = done.progress.rows, pipeline.dataset.classes
    labels = pipeline.dataset.labels[pipeline.split.test]
    columns = zip(*((row.loss, row.val_loss, row.val_accuracy) for row in rows), strict=True)
    losses, val_losses, accuracies = map(list, columns)
    roc = plots.roc(labels, done.probabilities["test"], classes)
    pictures = {
        "curves": plots.learning(losses, val_losses, accuracies, done.progress.best),
        "confusion": plots.confusion(report["metrics"]["test"]["confusion"], classes),
        "network": plots.stages([f"{s.name} {s.kind}" for s in stages], [s.macs for s in stages],
                                [s.params for s in stages]),
    }  # fmt: skip
    pictures |= {"roc": roc} if roc else {}
    pictures |= {"errors": png(tile([mistake.image for mistake in mistakes], 8))} if mistakes else {}
    text = warning(report["data"])
    return {name: plots.stamped(picture, text) if text else picture for name, picture in pictures.items()}


def _number(name: str, value: Any) -> str:
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return f"{value:.3f}" if name == "seconds" else f"{value:.8f}"
