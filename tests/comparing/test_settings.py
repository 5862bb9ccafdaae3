"""The settings of a comparison, and the list of metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.prediction_runs import predicted, write_run

import lightcnn
from lightcnn import document
from lightcnn.cli.compare import Metric
from lightcnn.comparing.job import MAX_RUNS
from lightcnn.comparing.settings import METRIC_CHOICES, METRICS, CompareSettings
from lightcnn.errors import InputError


def test_the_settings_in_the_run_folder_are_those_of_the_comparison(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, predicted(wrong)) for name, wrong in (("a", [1]), ("b", [2, 3]))]
    run = lightcnn.compare(folders, metric="accuracy", seed=7, out=tmp_path / "out")
    settings = document.load(CompareSettings, run / "compare.yaml")
    assert settings == CompareSettings(runs=tuple(map(str, folders)), metric="accuracy", seed=7)


def test_the_command_offers_every_metric_and_all() -> None:
    assert [choice.value for choice in Metric] == list(METRIC_CHOICES) == [*METRICS, "all"]
    assert CompareSettings(runs=()).metrics == tuple(METRICS)
    assert CompareSettings(runs=(), metric="auc").metrics == ("auc",)


def test_too_many_runs_are_refused() -> None:
    with pytest.raises(InputError, match=f"{MAX_RUNS + 1} runs, but at most {MAX_RUNS} can be compared at once"):
        lightcnn.compare([f"run-{number}" for number in range(MAX_RUNS + 1)])
