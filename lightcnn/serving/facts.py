"""What the page states about the network: what it was trained on, its test score, and its operating points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from lightcnn.errors import RunError
from lightcnn.exported_metadata import FLOAT_FORMAT, NOTICE, ExportedMetadata
from lightcnn.operating_points import rates_at_thresholds, score_bounds
from lightcnn.predictor import Predictor
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.run_folder import RunFolder
from lightcnn.version import __version__

SPLITS = ("train", "val", "test")
NOTE_OF_INT8 = (
    "Accuracy, sensitivity and specificity are those of the run in fp32; export.json has the accuracy of this file in "
    "8 bits."
)
"""What is stated of a file whose probabilities are not those of its run."""


def model_facts(predictor: Predictor, path: Path) -> dict[str, Any]:
    """What is known of every network, without folders; a run or an exported file adds to it."""
    rule = predictor.rule
    score = rule.unlikeness
    return {
        "lightcnn": __version__,
        "name": path.resolve().name,
        "classes": list(rule.classes),
        "threshold": rule.threshold if len(rule.classes) == 2 else None,
        "stand_in": None,
        "data": None,
        "accuracy": None,
        "operating_points": None,
        "unlikeness": score
        and {"false_alarm_rate": score.false_alarm_rate, "validation_images": score.validation_images},
        "note": predictor.note.replace(str(path), path.name),
        "notice": NOTICE,
    }


def exported_facts(metadata: ExportedMetadata) -> dict[str, Any]:
    """What an exported file states of its data and its score."""
    stand_in, source = metadata.data.get("stand_in"), metadata.data.get("source")
    facts = {
        "stand_in": stand_in if isinstance(stand_in, bool) else None,
        "data": {"source": _base_name(source), "counts": _split_counts(metadata.data)}
        if isinstance(source, str)
        else None,
        "accuracy": score_bounds(metadata.accuracy),
        "operating_points": _operating_points((metadata.operating or {}).get("counts")),
    }  # fmt: skip
    return facts if metadata.format == FLOAT_FORMAT else facts | {"note": NOTE_OF_INT8}


def run_facts(run: RunFolder) -> dict[str, Any]:
    """What the reports of a run state; a part that is missing or damaged is None."""
    from lightcnn.evaluation.predictions import count_test_probabilities

    try:
        report = run.report
        data = report["data"]
        counts = {name: int(data["counts"][name]) for name in SPLITS}
        facts = {
            "stand_in": bool(data["stand_in"]),
            "data": {"source": _base_name(str(data["source"])), "counts": counts},
            "accuracy": score_bounds(report["metrics"]["test"]["accuracy"]),
        }
    except (RunError, *VALUE_ERRORS):
        return {}
    return facts | {"operating_points": _operating_points(count_test_probabilities(run))}


def _split_counts(data: Mapping[str, Any]) -> dict[str, int] | None:
    """The numbers of images in the `data` of a file; None if it does not state them."""
    counts = data.get("counts")
    if not isinstance(counts, dict) or not all(type(counts.get(name)) is int and counts[name] >= 0 for name in SPLITS):
        return None
    return {name: counts[name] for name in SPLITS}


def _operating_points(counts: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """Sensitivity and specificity of each class on the test set, at each threshold on its probability."""
    return None if counts is None else rates_at_thresholds(counts)


def _base_name(source: str) -> str:
    """The name of a source without its folders."""
    return PurePath(source.replace("\\", "/")).name or source
