"""Scores over costs: intervals, names, ticks."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from helpers.figures import UNTRUSTED_NAMES, read_image
from matplotlib.figure import Figure

from lightcnn.ablating import figures as ablation_figures
from lightcnn.ablating.figures import ScoredRecipe, score_over_cost


def recipes(*costs: int, low: float | None = 0.4) -> list[ScoredRecipe]:
    """Recipes of these costs; the first is the unchanged one."""
    return [
        ScoredRecipe(name, cost, 0.5 + place / 20, low, low and 0.9, None if place == 0 else place % 2 == 0)
        for place, (name, cost) in enumerate(zip(UNTRUSTED_NAMES, costs, strict=False))
    ]


def test_scores_are_drawn_with_and_without_intervals() -> None:
    costs = (10**6, 10**7, 10**8, 10**6, 10**7, 10**8)
    drawn = [
        score_over_cost(some, "accuracy", "cost")
        for some in (recipes(*costs), recipes(*costs, low=None), recipes(7), recipes(7, 7))
    ]
    assert len({read_image(chart.png).tobytes() for chart in drawn}) == 4, "intervals and points are visible"
    assert "(40.00% to 90.00%)" in drawn[0].description and "to 90.00%" not in drawn[1].description
    tips = re.findall(r"<title>(.*?)</title>", drawn[0].svg)
    assert len(tips) == len(costs)
    assert "var(--blue)" in drawn[2].svg and "var(--orange)" not in drawn[2].svg


@pytest.mark.parametrize(
    "costs", [(80_000, 90_000, 100_000), (80_000,) * 2, (12_000, 90_000, 400_000), (5_000, 900_000, 40_000_000), (7,)]
)
def test_the_labels_of_a_cost_axis_do_not_overlap(costs: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(ablation_figures, "chart", lambda figure, *_: figures.append(figure))
    score_over_cost(recipes(*costs), "accuracy", "cost")
    (figure,) = figures
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    labels = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert 2 <= len(boxes) <= 8
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
