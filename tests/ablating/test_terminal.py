"""The live view of an ablation, and its table."""

from __future__ import annotations

import io

from lightcnn.ablating.terminal import AblateView, ablate_table
from lightcnn.output.console import CommandConsole


def test_the_live_view_shows_the_change_and_the_training() -> None:
    terminal = io.StringIO()
    with AblateView(CommandConsole(file=terminal, force_terminal=True), quiet=False) as view:
        view.change(2, 5, "no-se", "without squeeze-and-excitation")
        view.part(3, 6, "seed-1-fold-1")
        view.failed("relu", "out of memory")
    assert "2 of 5, no-se: without squeeze-and-excitation" in terminal.getvalue()
    assert "part 3 of 6, seed-1-fold-1" in terminal.getvalue()
    assert "relu failed: out of memory" in terminal.getvalue()
    silent = io.StringIO()
    with AblateView(CommandConsole(file=silent, force_terminal=True), quiet=True) as view:
        view.change(1, 2, "unchanged", "the unchanged recipe")
    assert silent.getvalue() == ""


def test_a_narrow_table_keeps_change_score_and_difference() -> None:
    row = {
        "change": "no-se", "cost": {"macs": 1_000_000, "params": 50_000}, "metric": {"mean": 0.9, "sd": 0.01},
        "difference": -0.012, "low": -0.03, "high": 0.004, "p_adjusted": 0.04, "shown": True,
    }  # fmt: skip
    report = {"metric": "accuracy", "rows": [row]}
    wide, narrow = (ablate_table(report, width=width) for width in (120, 55))
    assert len(wide.columns) == 7
    assert [str(column.header) for column in narrow.columns] == ["change", "FLOPs", "accuracy", DIFFERENCE]
    assert [str(next(column.cells)) for column in narrow.columns][-1] == "-1.20 (-3.00 to +0.40)"


DIFFERENCE = "difference (95 %), points"
