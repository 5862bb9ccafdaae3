"""The live view of an ablation."""

from __future__ import annotations

import io

from lightcnn.ablating.terminal import AblateView
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
