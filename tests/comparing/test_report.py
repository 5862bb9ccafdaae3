"""report.json of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.prediction_runs import predicted, write_run

import lightcnn


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_run(tmp_path / "good", predicted([3, 10]))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_run(tmp_path / "bad", predicted(range(20, 40)))


def test_scores_and_intervals_come_from_the_reports_of_the_runs(good: Path, bad: Path, tmp_path: Path) -> None:
    report = json.loads((good / "report.json").read_text())
    reported = {"value": 118 / 120, "low": 0.91, "high": 0.99, "interval": "Wilson"}
    unknown = {"value": 0.9, "low": None, "high": None, "interval": "none"}
    report["metrics"] = {"test": {"accuracy": reported, "balanced_accuracy": unknown, "auc": 0.9}}
    (good / "report.json").write_text(json.dumps(report))
    first, second = lightcnn.compare([good, bad], out=tmp_path / "out").report["runs"]
    assert first["scores"]["accuracy"] == {key: reported[key] for key in ("value", "low", "high")}
    assert first["scores"]["balanced_accuracy"]["value"] == pytest.approx(118 / 120), (
        "computed, since no interval is reported"
    )
    assert first["scores"]["auc"]["low"] < first["scores"]["auc"]["value"]
    assert second["scores"]["accuracy"]["value"] == pytest.approx(100 / 120)


@pytest.mark.parametrize("metrics", ["x", [], {"test": []}, {"test": {"accuracy": {"value": 2, "low": 0, "high": 1}}}])
def test_invalid_scores_in_a_report_are_computed_instead(metrics: Any, good: Path, bad: Path, tmp_path: Path) -> None:
    report = json.loads((good / "report.json").read_text())
    (good / "report.json").write_text(json.dumps(report | {"metrics": metrics}))
    runs = lightcnn.compare([good, bad], out=tmp_path / "out").report["runs"]
    assert runs[0]["scores"]["accuracy"]["value"] == pytest.approx(118 / 120)
