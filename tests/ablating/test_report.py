"""report.json of an ablation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.prediction_runs import predicted, write_run

from lightcnn.ablating.plan import Trial
from lightcnn.ablating.report import TrainedRecipe, report_row
from lightcnn.comparing.pairs import compare_pair
from lightcnn.comparing.run_predictions import read_run
from lightcnn.recipe import Recipe

MICRO = Recipe.load("micrompoxnet")


def test_means_subtract_to_the_difference_if_folds_are_unequal(tmp_path: Path) -> None:
    base = replace(read_run(write_run(tmp_path / "run", predicted([], count=10))), folds=np.array([[1] * 8 + [2] * 2]))

    def trained_recipe(name: str, correct: list[int]) -> TrainedRecipe:
        predictions = replace(base, name=name, correct=np.array([correct], dtype=bool))
        parts = [np.mean(correct[:8]), np.mean(correct[8:])]
        summary = {"accuracy": {"mean": float(np.mean(parts)), "sd": 0.1, "values": parts}}
        report = {"network": {"cost": {"params": 1000, "macs": 20000}}, "seconds": 1.0, "summary": summary}
        return TrainedRecipe(Trial(name=name, about="", recipe=MICRO), report, predictions)

    unchanged, worse = trained_recipe("unchanged", [1] * 8 + [0] * 2), trained_recipe("worse", [1] * 6 + [0] * 4)
    pairs = compare_pair(worse.predictions, unchanged.predictions, ["accuracy"])
    rows = [report_row(unchanged, pairs), report_row(worse, pairs)]
    assert [row["metric"]["mean"] for row in rows] == pytest.approx([0.8, 0.6])
    assert rows[1]["difference"] == pytest.approx(rows[1]["metric"]["mean"] - rows[0]["metric"]["mean"])
    assert rows[1]["metrics"]["accuracy"] == rows[1]["metric"]
    assert rows[1]["metric"]["values"] == [0.75, 0.0] and rows[1]["metric"]["sd"] == 0.1
