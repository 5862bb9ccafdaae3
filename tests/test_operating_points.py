"""Sensitivity and specificity at all thresholds, from counts that an untrusted file may hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lightcnn.evaluation.scores import scores
from lightcnn.evaluation.thresholds import operating_points as chosen_thresholds
from lightcnn.exported_metadata import ExportedMetadata, read_metadata
from lightcnn.operating_points import MAX_CLASSES, STEPS, check, operating_document, rates_at_thresholds

COUNTS = [{"class": name, "inside": [1] * (STEPS + 1), "outside": [2] + [0] * STEPS} for name in ("a", "b")]


def test_rates_are_the_shares_at_or_above_and_below_a_threshold() -> None:
    inside, outside = np.array([0.0, 0.295, 0.3, 0.87, 1.0]), np.array([0.0, 0.1, 0.2999, 0.31])
    places = [np.floor(100 * values + 1e-9).astype(int) for values in (inside, outside)]
    counts = [np.bincount(each, minlength=STEPS + 1).tolist() for each in places]
    table = rates_at_thresholds([{"class": "a", "inside": counts[0], "outside": counts[1]}])
    (curve,) = table["classes"]
    assert (curve["images"], curve["others"]) == (5, 4) and table["thresholds"][30] == 0.3
    for place, threshold in enumerate(table["thresholds"]):
        assert curve["sensitivity"][place] == pytest.approx((inside >= threshold).mean(), abs=1e-4)
        assert curve["specificity"][place] == pytest.approx((outside < threshold).mean(), abs=1e-4)


def test_a_class_without_images_has_no_rate() -> None:
    zeros = [0] * (STEPS + 1)
    (curve,) = rates_at_thresholds([{"class": "a", "inside": zeros, "outside": zeros}])["classes"]
    assert curve["sensitivity"] is None and curve["specificity"] is None


def test_the_document_of_a_report_is_accepted() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    table = np.clip(0.3 * labels + random.random(60) * 0.6, 0, 1)
    probabilities = np.stack([1 - table, table], axis=1)
    report = scores(labels, probabilities, classes=("a", "b"), operating=chosen_thresholds(labels, table))
    document = operating_document(report, COUNTS)
    assert set(document["sensitivity"]) == {"value", "low", "high"}
    assert document["at_specificity"]["0.90"]["threshold"] == report["at_specificity"]["0.90"]["threshold"]
    check(json.loads(json.dumps(document)), ("a", "b"))
    several = operating_document({**report, "at_specificity": None, "at_sensitivity": None}, None)
    assert several["at_specificity"] is None and several["counts"] is None
    check(several, ("a", "b", "c"))


DOCUMENT: dict[str, Any] = {
    "sensitivity": {"value": 0.5, "low": None, "high": None}, "specificity": None, "at_specificity": None,
    "at_sensitivity": None, "counts": COUNTS,
}  # fmt: skip
FLAT = [0] * (STEPS + 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"sensitivity": {"value": 2, "low": None, "high": None}}, {"sensitivity": {"value": True, "low": 0, "high": 1}},
        {"sensitivity": {"value": None, "low": 0, "high": 1}}, {"specificity": {}}, {"specificity": [1]},
        {"at_specificity": {"0.90": {"threshold": "x"}}}, {"at_sensitivity": [3]}, {"counts": COUNTS[:1]},
        {"counts": {"a": 1}}, {"counts": [COUNTS[0], {"class": "b", "inside": FLAT[1:], "outside": FLAT}]},
        {"counts": [COUNTS[0], {"class": "b", "inside": [*FLAT[1:], -1], "outside": FLAT}]},
        {"counts": [COUNTS[0], {"class": "b", "inside": [*FLAT[1:], 2**60], "outside": FLAT}]},
        {"counts": [COUNTS[0], {"class": "b", "inside": [*FLAT[1:], 0.5], "outside": FLAT}]},
        {"counts": [COUNTS[0], {"class": "<script>", "inside": FLAT, "outside": FLAT}]}, {"counts": 3},
    ],
)  # fmt: skip
def test_impossible_operating_points_are_refused(changes: dict[str, Any]) -> None:
    check(DOCUMENT, ("a", "b"))
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        check({**DOCUMENT, **changes}, ("a", "b"))


def test_more_classes_than_are_shown_are_refused() -> None:
    names = [f"class {number}" for number in range(MAX_CLASSES + 1)]
    counts = [{"class": name, "inside": FLAT, "outside": FLAT} for name in names]
    with pytest.raises(ValueError, match="at most 30"):
        check({**DOCUMENT, "counts": counts}, names)


def test_a_file_without_operating_points_is_read() -> None:
    rules = {
        "classes": ["a", "b"], "size": 8, "shorter_side": 8, "channels": 1, "temperature": 1.0, "threshold": 0.5,
        "clahe": 0, "fit": "stretch", "background": "none",
    }  # fmt: skip
    texts = ExportedMetadata("onnx", rules).properties()
    document = json.loads(texts["lightcnn"])
    del document["operating"]
    assert read_metadata({"lightcnn": json.dumps(document)}, "m.onnx").operating is None
    assert read_metadata(ExportedMetadata("onnx", rules, operating=DOCUMENT).properties(), "m").operating == DOCUMENT
