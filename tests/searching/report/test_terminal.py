"""What the terminal shows at the end of a search."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lightcnn.output.console import CommandConsole
from lightcnn.searching.report.terminal import result_grid, search_table, summary

TEST = {"values": [0.9, 0.8], "low": 0.85, "high": 0.94}
REPORT = {
    "comparison": {},
    "metric": "accuracy",
    "best": {"trial": 1, "test": {"accuracy": TEST}},
    "metrics": {"test": {"accuracy": {"value": 0.9}, "auc": {"value": 0.99}}},
    "network": {
        "cost": {"macs": 998_000, "params": 70_000, "flash_bytes": 90_000, "arena_bytes": 10_200},
        "counters": {"fvcore": 999_000, "thop": 999_400},
    },
    "latency": {"onnx_latency_us": {"runtime": "onnx", "measured": 1_234.5}},
}


def trial(number: int, accuracy: str, state: str = "complete") -> dict[str, str]:
    return {
        "number": str(number), "state": state, "macs": "998000", "params": "70000", "weight_bytes": "72000",
        "peak_activations": "12000", "fidelity": "600000", "validation_accuracy": accuracy, "flash_bytes": "90000",
        "arena_bytes": "10200",
    }  # fmt: skip


def text_of(shown: Any, width: int = 200) -> str:
    file = io.StringIO()
    console = CommandConsole(file=file)
    console.width = width
    console.print(shown)
    return file.getvalue()


def test_the_score_is_first_and_the_budget_is_counted_three_times() -> None:
    lines = text_of(result_grid(REPORT)).splitlines()
    assert lines[0].split() == ["test", "accuracy", "90.00%"]
    assert lines[1].split() == ["95", "%", "interval", "85.00%", "to", "94.00%"]
    assert "998k FLOPs, 70k params, 90kB flash, 10.2kB arena, 1.23 ms for one image in ONNX Runtime" in lines[-2]
    assert "fvcore 999k FLOPs, thop 999.4k FLOPs" in lines[-1]


def test_in_a_pipe_the_same_is_one_line() -> None:
    line = summary(REPORT)
    assert line.startswith("test accuracy 90.00% (95 % interval 85.00% to 94.00%") and "\n" not in line
    assert line.endswith("998k FLOPs, 70k params, 90kB flash, 10.2kB arena, 1.23 ms for one image in ONNX Runtime")


@pytest.mark.parametrize(("width", "missing"), [(200, ()), (60, ("int8 RAM", "int8 weights"))])
def test_a_narrow_table_has_fewer_costs_and_wraps_nothing(width: int, missing: tuple[str, ...]) -> None:
    trials = [trial(0, "0.9"), trial(1, "0.95"), trial(2, "", "failed")]
    lines = text_of(search_table(REPORT, trials, width=width), width).splitlines()
    assert len(lines) == 3 and all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines] == ["trial", "1", "0"]
    for name in ("FLOPs", "int8 weights", "int8 RAM", "val accuracy"):
        assert (name in lines[0]) == (name not in missing)


def test_networks_of_the_final_training_are_first_with_their_scores_after_it() -> None:
    def final(number: int, *accuracies: float) -> dict[str, Any]:
        curve = [{"images": 700_000 + place, "accuracy": value} for place, value in enumerate(accuracies)]
        return {"trial": number, "curve": curve}

    report = REPORT | {"finals": [final(0, 0.91, 0.96), final(1, 0.97), final(4)]}
    trials = [trial(0, "0.9"), trial(1, "0.95"), trial(2, "0.99"), trial(4, "0.93")]
    lines = [line.split() for line in text_of(search_table(report, trials, width=200)).splitlines()[1:]]
    assert [(line[0], line[-2], line[-1]) for line in lines] == [
        ("1", "700k", "97.00%"), ("0", "700k", "96.00%"), ("2", "600k", "99.00%"), ("4", "600k", "93.00%"),
    ]  # fmt: skip


def test_the_delivered_network_is_first_with_the_accuracy_of_its_weights_on_all_images() -> None:
    curves = {0: 0.91, 1: 0.95, 2: 0.93, 3: 0.99}
    finals = [{"trial": n, "curve": [{"images": 700_000, "accuracy": value}]} for n, value in curves.items()]
    candidates = [
        {"trial": 2, "images": 500_000, "accuracy": 0.92},
        {"trial": 0, "images": 700_000, "accuracy": 0.94},
        {"trial": 4, "images": 60_000, "accuracy": 0.9},
    ]
    changes = {"finals": finals, "comparison": {"candidates": candidates}, "best": REPORT["best"] | {"trial": 2}}
    trials = [trial(number, "0.8") for number in range(5)]
    lines = [line.split() for line in text_of(search_table(REPORT | changes, trials, width=200)).splitlines()[1:]]
    assert [(line[0], line[-2], line[-1]) for line in lines] == [
        ("2", "500k", "92.00%"), ("0", "700k", "94.00%"), ("4", "60k", "90.00%"), ("3", "700k", "99.00%"),
        ("1", "700k", "95.00%"),
    ]  # fmt: skip


def test_networks_are_in_the_order_in_which_they_were_compared_whatever_their_accuracies() -> None:
    candidates = [{"trial": trial, "images": 700_000, "accuracy": 0.1 * trial} for trial in (1, 3, 5)]
    losses = {0: 0.4, 1: 0.9, 2: 0.2, 3: 0.9, 4: 0.3, 5: 0.9}
    curves = [{"trial": n, "curve": [{"images": 600_000, "log_loss": loss}]} for n, loss in losses.items()]
    report = REPORT | {"comparison": {"candidates": candidates}, "prediction": {"trials": curves}}
    trials = [trial(number, f"0.{9 - number}") for number in range(6)]
    lines = [line.split() for line in text_of(search_table(report, trials, width=200)).splitlines()[1:]]
    assert [(line[0], line[-1]) for line in lines] == [
        ("1", "10.00%"), ("3", "30.00%"), ("5", "50.00%"), ("2", "70.00%"), ("4", "50.00%"),
    ]  # fmt: skip


def test_of_two_seeds_the_better_one_is_in_the_table() -> None:
    points = [[{"images": 70_000, "accuracy": accuracy}] for accuracy in (0.90, 0.92, 0.95, 0.93)]
    report = REPORT | {
        "finals": [{"trial": 0, "curve": points[0]}, {"trial": 1, "curve": points[1]}],
        "second_seeds": [{"trial": 0, "curve": points[2]}, {"trial": 1, "curve": points[3]}],
        "best": REPORT["best"] | {"trial": 0},
    }
    lines = [
        line.split()
        for line in text_of(search_table(report, [trial(0, "0.8"), trial(1, "0.7")], width=200)).splitlines()
    ]
    assert [(line[0], line[-1]) for line in lines[1:]] == [("0", "95.00%"), ("1", "93.00%")]
