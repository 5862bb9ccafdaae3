"""The joint results of several trainings of one recipe.

All test predictions in one table, scores with intervals, and mean and standard deviation over the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.baselines import build_network
from lightcnn.counting.stages import stages as network_stages
from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import positive_document
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.auc_variance import mean_area
from lightcnn.evaluation.paired_tests import score_interval
from lightcnn.evaluation.predictions import (
    PREDICTION_COLUMNS,
    read_predictions,
    read_test_images,
    write_predictions,
    write_test_images,
)
from lightcnn.evaluation.score_values import pooled_largest_class
from lightcnn.evaluation.scores import AREA_SCORES, scores
from lightcnn.output.charts.network_drawing import NETWORK_FILE, network_file
from lightcnn.output.charts.svg import Chart
from lightcnn.output.largest_class import KEY, largest_class_warnings
from lightcnn.output.report import report_head
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.report import figures
from lightcnn.training.report.pooled_card import pooled_card
from lightcnn.training.report.pooled_page import SUMMARY_METRICS, pooled_page
from lightcnn.training.setup import stand_in_warning

Parts = Sequence[tuple[int, int, RunFolder]]
"""Seed, fold (0: no folds) and finished run of each part."""


def pooled_data(pipelines: Sequence[Pipeline]) -> dict[str, Any]:
    """The `data` of report.json for several splits of one dataset.

    `counts` and `groups.counts`: for test, the total over all test sets; for train and val, the mean over the parts.
    """
    documents = [pipeline.document() for pipeline in pipelines]
    tested = np.unique(np.concatenate([pipeline.split.test for pipeline in pipelines]))
    counts, groups = (
        {name: round(float(np.mean([part[name] for part in parts]))) for name in SPLIT_NAMES}
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
    """Predictions of one set ("val" or "test") by all parts: one row per image and part. `parts`: index of the part."""

    parts: NDArray[np.int64]
    paths: NDArray[np.str_]
    seeds: NDArray[np.int64]
    folds: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.str_]


def write_pooled(run: RunFolder, recipe: Recipe, data: Mapping[str, Any], parts: Parts, folds: int) -> None:
    """Writes the joint results, report.json last. Raises: RunError if the predictions of a part were edited."""
    tables = [(seed, fold, read_predictions(part)) for seed, fold, part in parts]
    classes = data["classes"]
    header = [*PREDICTION_COLUMNS, "seed", "fold", *(f"p_{name}" for name in classes)]
    tested = [
        (*(row[name] for name in PREDICTION_COLUMNS), seed, fold, *(row[f"p_{name}"] for name in classes))
        for seed, fold, rows in tables
        for row in rows
        if row["split"] == "test"
    ]
    pooled = {split_name: _pooled(tables, split_name, classes) for split_name in ("val", "test")}
    run.write_bytes("spec.yaml", document.dump(recipe.network, stand_in_warning(data)).encode())
    report = _report(run, recipe, data, parts, pooled) | {"folds": folds}
    report["predictions"] = write_predictions(run, header, tested) | _write_images(run, parts)
    charts, stages = (
        _charts(report, parts),
        network_stages(recipe.network, build_network(recipe.network, 0, pretrained=False)),
    )
    for name, drawn in charts.items():
        run.write_bytes(f"plots/{name}.png", drawn.png)
    run.write_bytes(NETWORK_FILE, network_file(recipe.network.name, recipe.network.input, stages))
    run.write_bytes("report.html", pooled_page(report, recipe, charts, stages, run.path))
    run.write_bytes("README.md", pooled_card(report, recipe))
    run.write_json("report.json", report)


def _write_images(run: RunFolder, parts: Parts) -> dict[str, str]:
    """Writes the hashes of all test images; nothing if a part of an earlier version has none."""
    digests = [part.report["predictions"].get("images_sha256") for _, _, part in parts]
    if None in digests:
        return {}
    images: dict[str, str] = {}
    for (_, _, part), digest in zip(parts, digests, strict=True):
        images |= read_test_images(part, digest)
    return write_test_images(run, list(images.items()))


def _charts(report: Mapping[str, Any], parts: Parts) -> dict[str, Chart]:
    """The charts by name. There are no curves, since probabilities of different networks are not comparable."""
    test = report["metrics"]["test"]
    names = [f"seed {seed}" + (f", fold {fold}" if fold else "") for seed, fold, _ in parts]
    accuracies = [part.report["metrics"]["test"]["accuracy"] for _, _, part in parts]
    charts = {
        "parts": figures.part_accuracies(names, accuracies, test["accuracy"]),
        "confusion": score_figures.confusion(test["confusion"], report["data"]["classes"]),
    }
    return {name: drawn.with_warning(stand_in_warning(report["data"])) for name, drawn in charts.items()}


def _pooled(tables: Sequence[tuple[int, int, list[dict[str, str]]]], split_name: str, classes: Sequence[str]) -> Pooled:
    index_of = {name: number for number, name in enumerate(classes)}
    numbered = [
        (number, seed, fold, row)
        for number, (seed, fold, table) in enumerate(tables)
        for row in table
        if row["split"] == split_name
    ]
    rows = [row[1:] for row in numbered]
    return Pooled(
        parts=np.array([number for number, *_ in numbered]),
        paths=np.array([row["path"] for _, _, row in rows]),
        seeds=np.array([seed for seed, _, _ in rows]),
        folds=np.array([fold for _, fold, _ in rows]),
        labels=np.array([index_of[row["label"]] for _, _, row in rows]),
        predicted=np.array([index_of[row["prediction"]] for _, _, row in rows]),
        probabilities=np.array([[float(row[f"p_{name}"]) for name in classes] for _, _, row in rows]),
        groups=np.array([row["group"] for _, _, row in rows]),
    )


def _report(
    run: RunFolder, recipe: Recipe, data: Mapping[str, Any], parts: Parts, pooled: Mapping[str, Pooled]
) -> dict[str, Any]:
    """report.json."""
    reports = [part.report for _, _, part in parts]
    metrics = {name: _scores(rows, reports, name, data["classes"]) for name, rows in pooled.items()}
    seconds, warnings = sum(report["seconds"] for report in reports), largest_class_warnings(metrics["test"])
    return {
        **report_head("train", seed=recipe.seed, seconds=seconds, data=data, warnings=warnings),
        "network": reports[0]["network"],
        "epochs": sum(report["epochs"] for report in reports),
        "monitor": recipe.training.monitor,
        "seeds": len({seed for seed, _, _ in parts}),
        "positive": positive_document(data["classes"]),
        "metrics": metrics,
        "summary": {
            name: summarise([report["metrics"]["test"][name]["value"] for report in reports])
            for name in SUMMARY_METRICS
        },
        "parts": [
            {
                "seed": seed,
                "fold": fold,
                "folder": str(part.path.relative_to(run.path)),
                "counts": report["data"]["counts"],
            }
            | {name: report[name] for name in ("epochs", "best_epoch", "seconds")}
            | {name: report["metrics"]["test"][name]["value"] for name in SUMMARY_METRICS}
            | {f"accuracy_{end}": report["metrics"]["test"]["accuracy"][end] for end in ("low", "high")}
            for (seed, fold, part), report in zip(parts, reports, strict=True)
        ],
    }


def _scores(
    rows: Pooled, reports: Sequence[Mapping[str, Any]], split_name: str, classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of all rows of one set.

    Areas under curves rank images by probability, which is comparable within one network only: they are the means over
    the parts. Each image is counted once, however often it was predicted.
    """
    result = scores(rows.labels, rows.probabilities, groups=rows.groups, predicted=rows.predicted, classes=classes)
    parts = [report["metrics"][split_name] for report in reports]
    times = len(rows.labels) / len(np.unique(rows.paths))
    for name in AREA_SCORES:
        result[name] = _mean_score([part[name] for part in parts])
        for label in classes:
            result["per_class"][label][name] = _mean_score([part["per_class"][label][name] for part in parts])
    for counted in (result, *result["per_class"].values()):
        counted["images"] = round(counted["images"] / times)
    result[KEY] = pooled_largest_class(parts)
    if split_name == "test" and not result["warning"]:
        result["auc"] |= _area_interval(rows)
    return result | {
        name: _operating_points(rows, [part[name] for part in parts]) for name in ("at_specificity", "at_sensitivity")
    }


def _operating_points(rows: Pooled, parts: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Sensitivity and specificity of all rows at each part's own thresholds; None for more than two classes."""
    points = [part for part in parts if part is not None]
    if not points:
        return None
    return {target: _at_thresholds(rows, [part[target]["threshold"] for part in points]) for target in points[0]}


def _at_thresholds(rows: Pooled, thresholds: Sequence[float | None]) -> dict[str, Any]:
    """Sensitivity and specificity at one threshold per part. `threshold` is None: there is no single one."""
    if None in thresholds:
        why = "a class is missing in the validation set of a part, where its threshold is chosen"
        undefined = {"value": None, "low": None, "high": None, "interval": None, "undefined": why}
        return {"threshold": None, "sensitivity": undefined, "specificity": undefined}
    threshold = np.array(thresholds, dtype=np.float64)[rows.parts]
    predicted = (rows.probabilities[:, 1] >= threshold).astype(np.int64)
    result = scores(rows.labels, rows.probabilities, groups=rows.groups, predicted=predicted)
    return {"threshold": None} | {rate: result[rate] for rate in ("sensitivity", "specificity")}


def _mean_score(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of a score over the parts, without an interval."""
    mean = summarise([value["value"] for value in values])["mean"]
    if mean is None:
        return dict(values[0])
    return {"value": mean, "low": None, "high": None, "interval": "none: the mean of the parts"}


def _area_interval(rows: Pooled) -> dict[str, Any]:
    """The mean area under the ROC curve within networks, with an interval by group; empty if a class is missing."""
    order = np.lexsort((rows.paths, rows.seeds))
    count = len(np.unique(rows.seeds))
    labels, groups = (values[order].reshape(count, -1)[0] for values in (rows.labels, rows.groups))
    probabilities = rows.probabilities[order].reshape(count, len(labels), -1)
    area = mean_area(labels, probabilities, rows.folds[order].reshape(count, -1))
    if area is None:
        return {}
    codes = np.unique(groups, return_inverse=True)[1]
    low, high = score_interval(area.value, area.components, codes.astype(np.int64))
    method = f"from the contributions of {codes.max() + 1:,} groups to the areas within each network"
    return {"value": area.value, "low": low, "high": high, "interval": method}


def summarise(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation over the parts with a defined value; None if there are too few."""
    defined = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "sd": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "values": list(values),
    }
