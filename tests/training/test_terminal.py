"""The end of a training on a terminal: the answer first, in aligned rows that fit; one line elsewhere."""

from __future__ import annotations

import io

import pytest

from lightcnn.output.console import CommandConsole
from lightcnn.training.terminal import parts_table, result_grid, train_summary

SCORES = ("accuracy", "balanced_accuracy", "f1", "auc")
PART = {"seed": 0, "fold": 1, "counts": {"test": 1_200}, "epochs": 20, "seconds": 75.0} | dict.fromkeys(SCORES, 0.9)
REPORT = {
    "metrics": {"test": {
        "accuracy": {"value": 0.9, "low": 0.88, "high": 0.92, "interval": "Wilson"},
        "largest_class": {"class": "benign", "accuracy": 0.6},
    }},
    "network": {"cost": {"macs": 851_040, "params": 21_876}, "counters": {"fvcore": 853_728, "thop": 853_896}},
    "best_epoch": 7, "epochs": 20,
}  # fmt: skip
POOLED = REPORT | {"parts": [PART, PART], "summary": {name: {"mean": 0.9, "sd": None} for name in SCORES}}


def printed(renderable: object, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines on a terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    CommandConsole(file=stream, force_terminal=True).print(renderable)
    assert "\x1b[3" not in stream.getvalue(), "NO_COLOR leaves no colour"
    return [line.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "").rstrip()
            for line in stream.getvalue().splitlines()]  # fmt: skip


def test_the_answer_is_first_and_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(result_grid(REPORT), 80, monkeypatch) == [
        "test accuracy  90.00%",
        "95 % interval  88.00% to 92.00% (Wilson)",
        "to compare     always predicting benign: 60.00%",
        "trained        best epoch 7 of 20",
        "cost           851k FLOPs (fvcore 853.7k, thop 853.9k), 21.88k params",
    ]


@pytest.mark.parametrize(("width", "scores"), [(60, 1), (99, 1), (100, 4), (200, 4)])
def test_the_table_of_parts_fits(width: int, scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(parts_table(POOLED, width=width), width, monkeypatch)
    assert len(lines) == 5, "no row is wrapped"
    assert lines[1].count("90.00%") == scores and lines[3].split()[0] == "mean"
    assert len({len(line) for line in lines[:3]}) == 1, "the columns are aligned"


def test_elsewhere_the_result_is_one_line() -> None:
    assert train_summary(REPORT) == (
        "test accuracy 90.00% (95 % interval 88.00% to 92.00%, Wilson; always predicting benign: 60.00%), "
        "best epoch 7 of 20, 851k FLOPs, 21.88k params"
    )
    assert "2 trainings, each image tested by networks" in train_summary(POOLED)
