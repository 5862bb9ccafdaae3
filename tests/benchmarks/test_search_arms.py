"""The arms of search.py that are not searches of lightcnn: what they deliver within a budget."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import optuna
import pytest

from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.space import SearchSpace

SCRIPTS = Path(__file__).parent
with pytest.MonkeyPatch.context() as patch:  # the scripts import each other by name, as they do when they are run
    patch.setattr(sys, "path", [*sys.path, str(SCRIPTS)])
    arms, rows = import_module("search_arms"), import_module("search_rows")


@pytest.mark.parametrize(
    ("arm", "budget", "networks"), [("optuna", 30, None), pytest.param("hand-made", 1, 4, marks=pytest.mark.long)]
)
def test_an_arm_delivers_a_trained_network_within_the_budget(
    arm: str, budget: int, networks: int | None, tmp_path: Path
) -> None:
    """Few samples of Optuna are within a small budget, so that it takes long to find one."""
    command = [sys.executable, str(SCRIPTS / "search_arms.py"), arm, "--out", str(tmp_path / "result.json")]
    command += ["--data", "digits", "--budget", f"{budget}MFLOPs", "--seconds", "4", "--seed", "0"]
    subprocess.run(command, check=True, timeout=200)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["network"]["cost"]["macs"] <= budget * 1_000_000
    assert result["networks"] == networks or (networks is None and result["networks"] >= 1)
    assert result["test_images"] == 360
    assert rows.correctness(result).mean() == pytest.approx(result["test"]["value"])
    assert result["val"]["low"] < result["val"]["value"] <= result["val"]["high"]


def test_plain_optuna_prunes_what_is_over_the_budget() -> None:
    space = SearchSpace.load("micro").for_data(1, 10, 8)
    shapes = {name: space.smallest() if name == "small" else space.largest() for name in ("small", "large")}
    trials = {name: optuna.trial.FixedTrial(dict(shape)) for name, shape in shapes.items()}
    budget = Budget.parse("1MFLOPs")
    assert cost(arms.sample(trials["small"], space, budget)).macs < 1_000_000
    with pytest.raises(optuna.TrialPruned):
        arms.sample(trials["large"], space, budget)
