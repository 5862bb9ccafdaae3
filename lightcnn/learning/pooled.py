"""What several trainings of one recipe say together: every test image's predictions in one table, scores with
intervals, mean and deviation over the parts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lightcnn
from lightcnn import document
from lightcnn.data.dataset import SPLITS
from lightcnn.data.pipeline import Pipeline
from lightcnn.evaluation import charts, plots
from lightcnn.evaluation.figures import stamped
from lightcnn.evaluation.predictions import COLUMNS, write_predictions
from lightcnn.evaluation.scores import intervals, scores
from lightcnn.learning.bench import warning
from lightcnn.learning.pooledpage import SHOWN, pooled_page
from lightcnn.recipe import Recipe
from lightcnn.run import Run

Parts = Sequence[tuple[int, int, Run]]
"""Seed, fold (0: none) and finished run of every part."""


def pooled_data(pipelines: Sequence[Pipeline]) -> dict[str, Any]:
    """The `data` of report.json for several splits of one dataset.

    `counts` and `groups.counts`: of test, what all test sides hold together; of train and val, the mean of a part.
    """
    documents = [pipeline.document() for pipeline in pipelines]
    tested = np.unique(np.concatenate([pipeline.split.test for pipeline in pipelines]))
    counts, groups = (
        {name: round(float(np.mean([part[name] for part in parts]))) for name in SPLITS}
        for parts in ([d["counts"] for d in documents], [d["groups"]["counts"] for d in documents])
    )
    dataset = pipelines[0].dataset
    return documents[0] | {
        "counts": counts | {"test": len(tested)},
        "groups": documents[0]["groups"] | {"counts": groups | {"test": len(np.unique(dataset.groups[tested]))}},
        "groups_shared": max(d["groups_shared"] for d in documents),
        "leak_allowed": any(d["leak_allowed"] for d in documents),
    }


@dataclass(frozen=True)
class Pooled:
    """Predictions of one side over all parts: a row an image and part."""

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.str_]


def write_pooled(run: Run, recipe: Recipe, data: Mapping[str, Any], parts: Parts) -> None:
    """All that the parts leave together; report.json last."""
    tables = [(seed, fold, _rows(part)) for seed, fold, part in parts]
    classes = data["classes"]
    header = [*COLUMNS, "seed", "fold", *(f"p_{name}" for name in classes)]
    tested = [
        (*(row[name] for name in COLUMNS), seed, fold, *(row[f"p_{name}"] for name in classes))
        for seed, fold, rows in tables
        for row in rows
        if row["split"] == "test"
    ]
    every = [row for _, _, rows in tables for row in rows]
    pooled = {side: _pooled([row for row in every if row["split"] == side], classes) for side in ("val", "test")}
    run.write_bytes("spec.yaml", document.dump(recipe.network, warning(data)).encode())
    report = _report(run, recipe, data, parts, pooled) | {"predictions": write_predictions(run, header, tested)}
    pictures = _pictures(report, pooled["test"])
    for name, picture in pictures.items():
        run.write_bytes(f"plots/{name}.png", picture)
    run.write_bytes("report.html", pooled_page(report, recipe, pictures))
    run.write_json("report.json", report)


def _pictures(report: Mapping[str, Any], of: Pooled) -> dict[str, bytes]:
    """The plots by name. Curves are of all parts' probabilities in one row."""
    test, classes = report["metrics"]["test"], report["data"]["classes"]
    names = [f"seed {part['seed']}" + (f", fold {part['fold']}" if part["fold"] else "") for part in report["parts"]]
    accuracy = [test["accuracy"][key] for key in ("value", "low", "high")]
    areas = intervals(test["per_class"], "auc")
    roc = charts.over_thresholds(charts.ROC, of.labels, of.probabilities, classes, of.groups, areas)
    pictures = {
        "parts": plots.parts(names, [part["accuracy"] for part in report["parts"]], accuracy),
        "confusion": charts.confusion(test["confusion"], classes),
        **({"roc": roc} if roc else {}),
    }
    text = warning(report["data"])
    return {name: stamped(picture, text) if text else picture for name, picture in pictures.items()}


def _rows(part: Run) -> list[dict[str, str]]:
    with open(part / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _pooled(rows: Sequence[Mapping[str, str]], classes: Sequence[str]) -> Pooled:
    place = {name: number for number, name in enumerate(classes)}
    return Pooled(
        np.array([place[row["label"]] for row in rows]),
        np.array([place[row["prediction"]] for row in rows]),
        np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows]),
        np.array([row["group"] for row in rows]),
    )


def _report(
    run: Run, recipe: Recipe, data: Mapping[str, Any], parts: Parts, pooled: Mapping[str, Pooled]
) -> dict[str, Any]:
    """report.json."""
    reports = [part.report for _, _, part in parts]
    return {
        "lightcnn": lightcnn.__version__,
        "command": "train",
        "seed": recipe.seed,
        "seconds": round(sum(report["seconds"] for report in reports), 3),
        "data": data,
        "network": reports[0]["network"],
        "epochs": sum(report["epochs"] for report in reports),
        "monitor": recipe.training.monitor,
        "folds": max(fold for _, fold, _ in parts),
        "seeds": len({seed for seed, _, _ in parts}),
        "metrics": {
            side: scores(of.labels, of.probabilities, groups=of.groups, predicted=of.predicted, classes=data["classes"])
            for side, of in pooled.items()
        },
        "summary": {name: summed([report["metrics"]["test"][name]["value"] for report in reports]) for name in SHOWN},
        "parts": [
            {
                "seed": seed,
                "fold": fold,
                "folder": str(part.path.relative_to(run.path)),
                "counts": report["data"]["counts"],
            }
            | {name: report[name] for name in ("epochs", "best_epoch", "seconds")}
            | {name: report["metrics"]["test"][name]["value"] for name in SHOWN}
            for (seed, fold, part), report in zip(parts, reports, strict=True)
        ],
    }


def summed(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation over parts; of those where the metric is defined, None where there are too few."""
    defined = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "sd": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "values": list(values),
    }
