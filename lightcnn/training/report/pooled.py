"""What several trainings of one recipe say together: every test image's predictions in one table, scores with
intervals, mean and deviation over the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.data.dataset import SPLITS
from lightcnn.data.pipeline import Pipeline
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.auc_variance import mean_area
from lightcnn.evaluation.paired_tests import score_interval
from lightcnn.evaluation.predictions import COLUMNS, read_predictions, write_predictions
from lightcnn.evaluation.scores import AREAS, scores
from lightcnn.output.figures import stamped
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.report import figures
from lightcnn.training.report.pooled_card import pooled_card
from lightcnn.training.report.pooled_page import SHOWN, pooled_page
from lightcnn.training.setup import stand_in_warning
from lightcnn.version import __version__

Parts = Sequence[tuple[int, int, RunFolder]]
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
    """Predictions of one side over all parts: a row an image and part, whose place in the list is in `parts`."""

    parts: NDArray[np.int64]
    paths: NDArray[np.str_]
    seeds: NDArray[np.int64]
    folds: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.str_]


def write_pooled(run: RunFolder, recipe: Recipe, data: Mapping[str, Any], parts: Parts, folds: int) -> None:
    """All that the parts leave together; report.json last. Raises: RunError where predictions of a part were edited."""
    tables = [(seed, fold, read_predictions(part)) for seed, fold, part in parts]
    classes = data["classes"]
    header = [*COLUMNS, "seed", "fold", *(f"p_{name}" for name in classes)]
    tested = [
        (*(row[name] for name in COLUMNS), seed, fold, *(row[f"p_{name}"] for name in classes))
        for seed, fold, rows in tables
        for row in rows
        if row["split"] == "test"
    ]
    pooled = {side: _pooled(tables, side, classes) for side in ("val", "test")}
    run.write_bytes("spec.yaml", document.dump(recipe.network, stand_in_warning(data)).encode())
    report = _report(run, recipe, data, parts, pooled) | {"folds": folds}
    report["predictions"] = write_predictions(run, header, tested)
    pictures = _pictures(report)
    for name, picture in pictures.items():
        run.write_bytes(f"plots/{name}.png", picture)
    run.write_bytes("report.html", pooled_page(report, recipe, pictures))
    run.write_bytes("README.md", pooled_card(report, recipe))
    run.write_json("report.json", report)


def _pictures(report: Mapping[str, Any]) -> dict[str, bytes]:
    """The plots by name. There are no curves: probabilities of different networks are not on one scale."""
    test = report["metrics"]["test"]
    names = [f"seed {part['seed']}" + (f", fold {part['fold']}" if part["fold"] else "") for part in report["parts"]]
    accuracy = [test["accuracy"][key] for key in ("value", "low", "high")]
    pictures = {
        "parts": figures.parts(names, [part["accuracy"] for part in report["parts"]], accuracy),
        "confusion": score_figures.confusion(test["confusion"], report["data"]["classes"]),
    }
    text = stand_in_warning(report["data"])
    return {name: stamped(picture, text) if text else picture for name, picture in pictures.items()}


def _pooled(tables: Sequence[tuple[int, int, list[dict[str, str]]]], side: str, classes: Sequence[str]) -> Pooled:
    place = {name: number for number, name in enumerate(classes)}
    numbered = [
        (number, seed, fold, row)
        for number, (seed, fold, table) in enumerate(tables)
        for row in table
        if row["split"] == side
    ]
    rows = [row[1:] for row in numbered]
    return Pooled(
        parts=np.array([number for number, *_ in numbered]),
        paths=np.array([row["path"] for _, _, row in rows]),
        seeds=np.array([seed for seed, _, _ in rows]),
        folds=np.array([fold for _, fold, _ in rows]),
        labels=np.array([place[row["label"]] for _, _, row in rows]),
        predicted=np.array([place[row["prediction"]] for _, _, row in rows]),
        probabilities=np.array([[float(row[f"p_{name}"]) for name in classes] for _, _, row in rows]),
        groups=np.array([row["group"] for _, _, row in rows]),
    )


def _report(
    run: RunFolder, recipe: Recipe, data: Mapping[str, Any], parts: Parts, pooled: Mapping[str, Pooled]
) -> dict[str, Any]:
    """report.json."""
    reports = [part.report for _, _, part in parts]
    return {
        "lightcnn": __version__,
        "command": "train",
        "seed": recipe.seed,
        "seconds": round(sum(report["seconds"] for report in reports), 3),
        "data": data,
        "network": reports[0]["network"],
        "epochs": sum(report["epochs"] for report in reports),
        "monitor": recipe.training.monitor,
        "seeds": len({seed for seed, _, _ in parts}),
        "metrics": {side: _scores(of, reports, side, data["classes"]) for side, of in pooled.items()},
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


def _scores(of: Pooled, reports: Sequence[Mapping[str, Any]], side: str, classes: Sequence[str]) -> dict[str, Any]:
    """Scores of all rows of a side. Areas rank images by probability, which only those of one network allow: they are
    the means of the parts. Images are counted once, however often they were predicted."""
    found = scores(of.labels, of.probabilities, groups=of.groups, predicted=of.predicted, classes=classes)
    parts = [report["metrics"][side] for report in reports]
    times = len(of.labels) / len(np.unique(of.paths))
    for name in AREAS:
        found[name] = _mean_of([part[name] for part in parts])
        for label in classes:
            found["per_class"][label][name] = _mean_of([part["per_class"][label][name] for part in parts])
    for counted in (found, *found["per_class"].values()):
        counted["images"] = round(counted["images"] / times)
    if side == "test" and not found["warning"]:
        found["auc"] |= _interval(of)
    return found | {
        name: _operating(of, [part[name] for part in parts]) for name in ("at_specificity", "at_sensitivity")
    }


def _operating(of: Pooled, parts: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Sensitivity and specificity of all rows under each part's own thresholds; None of more than two classes."""
    points = [part for part in parts if part is not None]
    return {target: _at(of, [part[target]["threshold"] for part in points]) for target in points[0]} if points else None


def _at(of: Pooled, thresholds: Sequence[float | None]) -> dict[str, Any]:
    """At one threshold a part. The one told is None: there is no single one."""
    if None in thresholds:
        why = "a class is missing on the validation side of a part, where its threshold is chosen"
        nothing = {"value": None, "low": None, "high": None, "interval": None, "undefined": why}
        return {"threshold": None, "sensitivity": nothing, "specificity": nothing}
    own = np.array(thresholds, dtype=np.float64)[of.parts]
    decided = (of.probabilities[:, 1] >= own).astype(np.int64)
    found = scores(of.labels, of.probabilities, groups=of.groups, predicted=decided)
    return {"threshold": None} | {rate: found[rate] for rate in ("sensitivity", "specificity")}


def _mean_of(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One score of all parts, without an interval."""
    mean = summed([value["value"] for value in values])["mean"]
    if mean is None:
        return dict(values[0])
    return {"value": mean, "low": None, "high": None, "interval": "none: the mean of the parts"}


def _interval(of: Pooled) -> dict[str, Any]:
    """Of the mean area within networks, clustered by group; nothing where a class is missing."""
    order = np.lexsort((of.paths, of.seeds))
    count = len(np.unique(of.seeds))
    labels, groups = (values[order].reshape(count, -1)[0] for values in (of.labels, of.groups))
    probabilities = of.probabilities[order].reshape(count, len(labels), -1)
    area = mean_area(labels, probabilities, of.folds[order].reshape(count, -1))
    if area is None:
        return {}
    codes = np.unique(groups, return_inverse=True)[1]
    low, high = score_interval(area.value, area.components, codes.astype(np.int64))
    method = f"of {codes.max() + 1:,} groups, from what each adds to the areas within a network"
    return {"value": area.value, "low": low, "high": high, "interval": method}


def summed(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation over parts; of those where the metric is defined, None where there are too few."""
    defined = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "sd": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "values": list(values),
    }
