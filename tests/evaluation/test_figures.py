"""Figures: what they compute, and that they stand whatever the names, the number of classes and the sides are."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from lightcnn.ablating import figures as cost_figures
from lightcnn.evaluation import figures as charts
from lightcnn.evaluation.roc import BAND_GRID, curve, precision_recall, roc
from lightcnn.output.figures import MAX_LABEL_LETTERS, add_warning_bar, label_text, pareto

HOSTILE = ("$\\frac{", "_hidden", "a\nb | <b>*_`", "健康", "x" * 300, "$1 and $2")


def answered(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and groups of three of a network that is somewhat right; some probabilities are equal."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    logits = random.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 2) + 1e-3
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True), (np.arange(count) // 3).astype(str)


def opened(png: bytes) -> Image.Image:
    """A picture that has something on it."""
    picture = Image.open(io.BytesIO(png))
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 10
    return picture


def test_curves_and_areas_are_those_of_scikit_learn() -> None:
    labels, probabilities, _ = answered(200, 2)
    truth, score = labels == 1, np.round(probabilities[:, 1], 1)
    drawn = curve(roc, truth, score)
    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose([drawn.x, drawn.y], [false, true])
    assert drawn.area == pytest.approx(roc_auc_score(truth, score))
    drawn = curve(precision_recall, truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    assert {(round(x, 9), round(y, 9)) for x, y in zip(drawn.x[1:], drawn.y[1:], strict=True)} == {
        (round(x, 9), round(y, 9)) for x, y in zip(recall[:-1], precision[:-1], strict=True)
    }
    assert drawn.area == pytest.approx(average_precision_score(truth, score))
    assert curve(roc, truth, score).low is None


@pytest.mark.parametrize("trace", [roc, precision_recall])
def test_a_band_holds_the_curve_and_is_wider_where_groups_are_fewer(trace) -> None:
    labels, probabilities, _ = answered(240, 2)
    truth, score = labels == 1, probabilities[:, 1]
    alone = curve(trace, truth, score, np.arange(240).astype(str))
    few = curve(trace, truth, score, (np.arange(240) // 12).astype(str))
    again = curve(trace, truth, score, (np.arange(240) // 12).astype(str))
    np.testing.assert_array_equal(few.low, again.low)
    y = np.interp(BAND_GRID, alone.x, alone.y)
    inside = (alone.low <= y + 1e-9) & (y <= alone.high + 1e-9)
    assert inside.mean() > 0.9
    copied = curve(trace, np.tile(truth, 4), np.tile(score, 4), np.tile(np.arange(240), 4).astype(str))
    np.testing.assert_allclose(copied.high - copied.low, alone.high - alone.low, atol=0.02)
    taken_apart = curve(trace, np.tile(truth, 4), np.tile(score, 4), np.arange(960).astype(str))
    assert (taken_apart.high - taken_apart.low).mean() < 0.7 * (copied.high - copied.low).mean()


def test_a_band_leaves_out_draws_without_one_of_the_classes() -> None:
    truth, score = np.array([True, False, False]), np.array([0.9, 0.5, 0.1])
    drawn = curve(roc, truth, score, np.array(["a", "b", "c"]))
    assert drawn.low is not None and np.isfinite(drawn.low).all()
    np.testing.assert_allclose(drawn.low, 1)


@pytest.mark.parametrize("classes", [2, 3, 6, 40])
def test_every_chart_stands_for_any_number_of_classes_and_any_name(classes: int) -> None:
    labels, probabilities, groups = answered(6 * classes, classes)
    names = [*HOSTILE, *(f"class {number}" for number in range(classes))][:classes]
    matrix = np.full((classes, classes), 12_345).tolist()
    for kind in (charts.ROC, charts.PRECISION_RECALL):
        opened(charts.over_thresholds(kind, labels, probabilities, names, groups, {names[1]: (0.1, 0.9)}) or b"")
    opened(charts.probabilities_by_class(labels, probabilities, names, 0.4))
    opened(charts.reliability(labels, probabilities, probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)))
    picture = opened(charts.confusion(matrix, names))
    assert max(picture.size) <= 2600


def test_no_curve_where_only_one_class_is_on_a_side() -> None:
    labels, probabilities, groups = answered(12, 2)
    for kind in (charts.ROC, charts.PRECISION_RECALL):
        assert charts.over_thresholds(kind, 0 * labels, probabilities, ("a", "b"), groups, {}) is None
    opened(charts.probabilities_by_class(0 * labels, probabilities, ("a", "b"), 0.5))
    opened(charts.confusion([[12, 0], [0, 0]], ("a", "b")))


def test_names_are_short_single_lines_without_mathematics() -> None:
    assert label_text("a\nb") == "a\\nb"
    assert label_text("$x$") == r"\$x\$"
    assert label_text("x" * 300) == "x" * (MAX_LABEL_LETTERS - 1) + "…"


def test_the_front_is_what_none_is_cheaper_and_better_than() -> None:
    points = [(30, 0.8), (10, 0.7), (20, 0.6), (30, 0.9), (40, 0.9), (10, 0.5)]
    assert pareto(points) == [(10, 0.7), (30, 0.9)]
    assert pareto(points[:1]) == points[:1]


def test_scores_against_cost_stand_with_and_without_intervals() -> None:
    points = [(name, 10 ** (6 + place % 3), 0.5 + place / 20, 0.4, 0.9) for place, name in enumerate(HOSTILE)]
    opened(cost_figures.score_against_cost([*points, ("alone", 5_000, 0.5, None, None)], "accuracy"))
    opened(cost_figures.score_against_cost(points[:1], "accuracy"))
    opened(cost_figures.score_against_cost([("a", 5, 0.5, None, None), ("b", 5, 0.5, None, None)], "accuracy"))


@pytest.mark.parametrize(
    "costs", [(80_000, 90_000, 100_000), (80_000,) * 2, (12_000, 90_000, 400_000), (5_000, 900_000, 40_000_000), (7,)]
)
def test_a_cost_axis_has_labels_that_keep_apart(costs: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(cost_figures, "png", lambda figure: figures.append(figure) or b"")
    cost_figures.score_against_cost(
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
def test_the_legend_names_a_front_only_where_one_is_drawn(
    second: float, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(cost_figures, "png", lambda figure: figures.append(figure) or b"")
    cost_figures.score_against_cost([("a", 10, 0.5, None, None), ("b", 20, second, None, None)], "accuracy")
    (legend,) = figures[0].legends
    assert any(text.get_text().startswith("front") for text in legend.get_texts()) == named


def test_a_stamp_is_a_red_bar_above_the_picture() -> None:
    plain = charts.confusion([[1, 2], [3, 4]], ("a", "b"))
    before, after = opened(plain), opened(add_warning_bar(plain, "STAND-IN"))
    assert after.size == (before.size[0], before.size[1] + 26)
    assert after.getpixel((after.size[0] - 1, 5)) == (176, 0, 32)
