"""What the page states about the network: what it was trained on, its test score, and its operating points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import RunError
from lightcnn.exported_metadata import NOTICE, ExportedMetadata
from lightcnn.predictor import Predictor
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.run_folder import RunFolder
from lightcnn.version import __version__

THRESHOLDS = 100
"""Number of steps between the thresholds 0 and 1 whose sensitivity and specificity the page shows."""
MAX_CURVES = 30
"""With more classes the page has no operating points."""


def model_facts(predictor: Predictor, name: str) -> dict[str, Any]:
    """What is known of every network; a run or an exported file adds to it."""
    rule = predictor.rule
    score = rule.unlikeness
    return {
        "lightcnn": __version__,
        "name": name,
        "classes": list(rule.classes),
        "threshold": rule.threshold if len(rule.classes) == 2 else None,
        "stand_in": None,
        "data": None,
        "accuracy": None,
        "operating_points": None,
        "unlikeness": score
        and {"false_alarm_rate": score.false_alarm_rate, "validation_images": score.validation_images},
        "note": predictor.note,
        "notice": NOTICE,
    }


def exported_facts(metadata: ExportedMetadata) -> dict[str, Any]:
    """What an exported file states of its data and its score."""
    stand_in, source = metadata.data.get("stand_in"), metadata.data.get("source")
    return {
        "stand_in": stand_in if isinstance(stand_in, bool) else None,
        "data": {"source": _base_name(source), "counts": None} if isinstance(source, str) else None,
        "accuracy": _score(metadata.accuracy),
    }


def run_facts(run: RunFolder) -> dict[str, Any]:
    """What the reports of a run state; a part that is missing or damaged is None."""
    try:
        report = run.report
        data = report["data"]
        counts = {name: int(data["counts"][name]) for name in ("train", "val", "test")}
        facts = {
            "stand_in": bool(data["stand_in"]),
            "data": {"source": _base_name(str(data["source"])), "counts": counts},
            "accuracy": _score(report["metrics"]["test"]["accuracy"]),
        }
    except (RunError, *VALUE_ERRORS):
        return {}
    return facts | {"operating_points": _operating_points(run)}


def _operating_points(run: RunFolder) -> dict[str, Any] | None:
    """Sensitivity and specificity of each class on the test set, at each threshold on its probability."""
    from lightcnn.evaluation.predictions import read_predictions

    try:
        rows = [row for row in read_predictions(run) if row["split"] == "test"]
        classes = [str(name) for name in run.report["data"]["classes"]]
        if not rows or len(classes) > MAX_CURVES or "seed" in rows[0]:
            return None
        labels = np.array([classes.index(row["label"]) for row in rows])
        table = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
    except (RunError, *VALUE_ERRORS):
        return None
    if not np.isfinite(table).all():
        return None
    thresholds = np.linspace(0, 1, THRESHOLDS + 1)
    return {
        "thresholds": [round(float(each), 2) for each in thresholds],
        "classes": [_curve(name, labels == c, table[:, c], thresholds) for c, name in enumerate(classes)],
    }


def _curve(
    name: str, of_class: NDArray[np.bool_], scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> dict[str, Any]:
    """The rates of a class at each threshold; None if images of one kind are missing."""
    inside, outside = np.sort(scores[of_class]), np.sort(scores[~of_class])
    return {
        "class": name,
        "images": len(inside),
        "others": len(outside),
        "sensitivity": _rounded(1 - np.searchsorted(inside, thresholds) / len(inside)) if len(inside) else None,
        "specificity": _rounded(np.searchsorted(outside, thresholds) / len(outside)) if len(outside) else None,
    }


def _rounded(rates: NDArray[np.float64]) -> list[float]:
    return [round(float(rate), 4) for rate in rates]


def _score(score: Mapping[str, Any] | None) -> dict[str, float | None] | None:
    """`value`, `low` and `high` of a score; None if it has no value."""
    if not score or score.get("value") is None:
        return None
    return {key: None if score.get(key) is None else float(score[key]) for key in ("value", "low", "high")}


def _base_name(source: str) -> str:
    """The name of a source without its folders."""
    return PurePath(source.replace("\\", "/")).name or source
