"""Parameters and final scores from documents."""

from __future__ import annotations

from lightcnn.tracking.values import final_scores, parameters


def test_parameters_have_the_paths_of_the_document() -> None:
    document = {"seed": 0, "training": {"epochs": 5, "nesterov": True}, "input": [1, 8], "x": None, "reading": {}}
    assert parameters(document) == {"seed": 0, "training.epochs": 5, "training.nesterov": True, "input": "[1, 8]"}


def test_final_scores_are_numbers_with_their_intervals() -> None:
    test = {
        "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "interval": "Wilson"},
        "ece": {"value": 0.1, "low": None, "high": None}, "auc": {"value": None, "low": None, "high": None},
        "confusion": [[1, 0], [0, 1]], "images": 20, "warning": None, "per_class": {"a": {"images": 10}},
    }  # fmt: skip
    cost = {"macs": 7, "weight_bytes": {"fp32": 4, "int8": 1}, "latency_us": None}
    assert final_scores({"metrics": {"test": test}, "network": {"cost": cost}}) == {
        "final/test/accuracy": 0.9, "final/test/accuracy_low": 0.8, "final/test/accuracy_high": 0.95,
        "final/test/ece": 0.1, "final/cost/macs": 7, "final/cost/weight_bytes.fp32": 4,
        "final/cost/weight_bytes.int8": 1,
    }  # fmt: skip
    assert final_scores({"metrics": {}}) == {}
