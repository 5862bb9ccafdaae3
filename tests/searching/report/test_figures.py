"""Charts of a search: the winner is in front, intervals are drawn, and small searches have charts too."""

from __future__ import annotations

import re
from typing import Any

import pytest
from helpers.figures import read_image

from lightcnn.output.charts.svg import Chart
from lightcnn.searching.report import figures
from lightcnn.searching.report.figures import Trained


def tips(chart: Chart) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", chart.svg)


def trial(number: int, *losses: float, predicted: float | None = None) -> dict[str, Any]:
    curve = [{"images": 100 * 3**place, "log_loss": loss} for place, loss in enumerate(losses)]
    return {"trial": number, "curve": curve, "predicted": predicted}


def test_the_winner_is_orange_and_labelled_and_drawn_last() -> None:
    trials = [trial(0, 2.0, predicted=1.0), trial(1, 1.5, 1.0), trial(2, 1.6, 0.9)]
    finals = [{"trial": n, "curve": [{"images": 2_700, "log_loss": 0.1 * n}]} for n in (2, 1)]
    drawn = figures.learning_curves(trials, finals, [], 1, 2_700)
    assert tips(drawn)[-1] == "trial 1: log loss 1.500 after 100 images, log loss 0.100 after 2.7k images"
    assert [text.startswith("trial 0") for text in tips(drawn)] == [True, False, False]
    labels = re.findall(r">(trial \d)</text>", drawn.svg)
    assert sorted(labels) == ["trial 1", "trial 2"]
    assert "trial 1: log loss 1.500" in drawn.description
    read_image(drawn.png)


@pytest.mark.parametrize("losses", [(2.3,), (2.3, 0.0)])
def test_a_single_network_has_a_learning_curve(losses: tuple[float, ...]) -> None:
    drawn = figures.learning_curves([trial(0, *losses)], [{"trial": 0, "curve": []}], [], 0, 100)
    read_image(drawn.png)
    assert len(tips(drawn)) == 1


def test_the_front_has_every_network_its_interval_and_the_delivered_one() -> None:
    trained = [
        Trained(number, 100 + number, 0.5 + 0.1 * number, 10 * (1 + number % 2), (0.4, 0.9)) for number in range(4)
    ]
    delivered = Trained(3, 103, 0.95, 900, (0.9, 0.97))
    drawn = figures.front(trained, [(100, 0.5), (103, 0.8)], 110, "FLOPs", delivered)
    assert len(tips(drawn)) == 5
    assert "delivered: trial 3: 95.00% after 900 images, 103 FLOPs" in tips(drawn)
    assert drawn.description.endswith("has 95.00% at 103. The budget is 110 FLOPs.")
    alone = figures.front(trained[:1], [(100, 0.5)], None, "FLOPs", trained[0])
    assert "budget" not in alone.description


def test_the_front_and_the_history_are_over_the_metric_that_they_name() -> None:
    trained = [Trained(0, 100, 1.25, 10), Trained(1, 103, 0.5, 30)]
    drawn = figures.front(trained, [(100, 1.25), (103, 0.5)], None, "FLOPs", Trained(1, 103, 0.25, 90), "log_loss")
    assert drawn.description.startswith("Validation log loss over FLOPs of 2 networks.")
    assert drawn.description.endswith("has 0.2500 at 103.")
    assert "validation log loss" in drawn.svg and "%" not in drawn.svg
    assert tips(drawn)[0] == "trial 0: 1.2500 after 10 images, 100 FLOPs"
    losses = figures.history([(9.0, 1.5), (10.0, 0.5)], 12.0, "log_loss")
    assert losses.description.startswith("Best validation log loss so far: 1.5000 after")
    assert "%" not in losses.svg
    areas = figures.history([(9.0, 0.75)], 12.0, "auc")
    assert areas.description.startswith("Best validation AUC so far: 75.00% after")


def test_rungs_have_intervals_that_contain_their_correlations() -> None:
    rungs = [
        {"images": 100, "rank_correlation": 0.6, "pairs": 12}, {"images": 300, "rank_correlation": 1.0, "pairs": 4},
        {"images": 900, "rank_correlation": None, "pairs": 0},
    ]  # fmt: skip
    drawn = figures.rung_correlations(rungs)
    assert drawn is not None
    assert len(tips(drawn)) == 2
    assert figures.rung_correlations(rungs[2:]) is None
    low, high = figures.correlation_interval(0.6, 12)
    assert (low, high) == (pytest.approx(-0.0165, abs=1e-3), pytest.approx(0.886, abs=1e-3))
    assert figures.correlation_interval(1.0, 4)[1] == 1.0
    assert figures.correlation_interval(-1.0, 4)[0] == -1.0


def test_all_other_charts_have_a_sensible_state_for_one_value() -> None:
    for drawn in (
        figures.history([(9.0, 0.5)], 10.0), figures.history([(400.0, 0.5), (500.0, 1.0)], 900.0),
        figures.importance({"stem.width": 0.4}), figures.curves([1.0], [0.0]), figures.curves([50.0, 1.0], [0.1, 0.2]),
    ):  # fmt: skip
        read_image(drawn.png)
        assert drawn.description
