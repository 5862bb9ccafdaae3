"""The made-up tables: the surrogate needs fewer evaluations than Optuna's TPE and random draws."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import optuna
import pytest

with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    measured = import_module("evaluations")

SEEDS, LIMIT = 12, 120


@pytest.mark.long
@pytest.mark.parametrize("lag", [1, 8])
def test_the_surrogate_needs_fewer_evaluations_than_tpe_and_random(lag: int) -> None:
    """By the medians of 12 tables; docs/reference/measurements.md has those of 200."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = measured.WidthDepthTable()

    def median(strategy: str) -> float:
        return float(np.median([
            measured.evaluations(table, table.values(seed), strategy, seed, limit=LIMIT, lag=lag)
            for seed in range(SEEDS)
        ]))  # fmt: skip

    surrogate = median("surrogate")
    assert surrogate < median("tpe")
    assert surrogate < 0.5 * median("random")
