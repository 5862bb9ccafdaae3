"""Scores over costs: intervals, ticks and the front."""

from __future__ import annotations

from itertools import pairwise

import pytest
from helpers.figures import UNTRUSTED_NAMES, read_image
from matplotlib.figure import Figure

from lightcnn.ablating import figures as ablation_figures


def test_scores_are_drawn_with_and_without_intervals() -> None:
    points = [(name, 10 ** (6 + place % 3), 0.5 + place / 20, 0.4, 0.9) for place, name in enumerate(UNTRUSTED_NAMES)]
    bare = [(name, cost, score, None, None) for name, cost, score, _, _ in points]
    drawn = [read_image(ablation_figures.score_against_cost(some, "accuracy")) for some in (points, bare, points[:1])]
    assert len({image.tobytes() for image in drawn}) == 3, "intervals and points are visible"
    same = [("a", 5, 0.5, None, None), ("b", 5, 0.5, None, None)]
    assert read_image(ablation_figures.score_against_cost(same, "accuracy")).size == drawn[0].size


@pytest.mark.parametrize(
    "costs", [(80_000, 90_000, 100_000), (80_000,) * 2, (12_000, 90_000, 400_000), (5_000, 900_000, 40_000_000), (7,)]
)
def test_the_labels_of_a_cost_axis_do_not_overlap(costs: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(ablation_figures, "png", lambda figure: figures.append(figure) or b"")
    ablation_figures.score_against_cost(
        [(f"run {n}", cost, 0.5, None, None) for n, cost in enumerate(costs)], "accuracy", "cost"
    )
    (figure,) = figures
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    labels = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert 2 <= len(boxes) <= 8
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert ("side by side" in axes.get_xlabel()) == (len(set(costs)) < len(costs))


@pytest.mark.parametrize(("second", "named"), [(0.6, True), (0.5, False)])
def test_the_legend_names_a_front_only_if_one_is_drawn(
    second: float, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(ablation_figures, "png", lambda figure: figures.append(figure) or b"")
    ablation_figures.score_against_cost([("a", 10, 0.5, None, None), ("b", 20, second, None, None)], "accuracy")
    (legend,) = figures[0].legends
    assert any(text.get_text().startswith("front") for text in legend.get_texts()) == named
