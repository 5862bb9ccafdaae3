"""Figures of one epoch, one point or long names: labels do not overlap and are not slanted."""

from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from lightcnn.evaluation import figures as score_figures
from lightcnn.output.charts.figures import blank, count_ticks, epoch_ticks
from lightcnn.profiling.figures import draw_figures
from lightcnn.searching.report import figures as search_figures
from lightcnn.training.report import figures as training_figures


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, in their order."""
    collected: list[Figure] = []

    def collect(figure: Figure, *_: object) -> None:
        figure.canvas.draw()
        collected.append(figure)

    for module in (score_figures, search_figures, training_figures):
        monkeypatch.setattr(module, "chart", collect)
    return collected


def labels(axis):
    """The labels of an axis that are drawn, and their boxes."""
    shown = [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
    low, high = sorted(axis.get_view_interval())
    place = 0 if axis.axis_name == "x" else 1
    return [label for label in shown if low <= label.get_position()[place] <= high]


def require_readable(figure: Figure) -> None:
    for axes in figure.axes:
        names = labels(axes.xaxis)
        assert all(label.get_rotation() == 0 for label in names)
        boxes = sorted((label.get_window_extent() for label in names), key=lambda box: box.x0)
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes)), [label.get_text() for label in names]


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_epochs_are_whole_numbers(drawn, epochs):
    values = [1.0 / (epoch + 1) for epoch in range(epochs)]
    training_figures.learning_curves(values, values, values, 1)
    search_figures.curves(values, values)
    for figure in drawn:
        require_readable(figure)
        assert all(label.get_text().isdigit() for axes in figure.axes for label in labels(axes.xaxis))


def test_costs_are_few_labels_side_by_side(drawn):
    for scale in (1, 1_000, 123_456_789):
        trials = [search_figures.Trained(0, scale * cost, 0.5, 2) for cost in (98, 99, 100, 2_000)]
        search_figures.front(trials, [(98 * scale, 0.5)], 1_500 * scale, "FLOPs", trials[0])
        training_figures.stage_costs(["stem", "head"], [98 * scale, 7_777 * scale], [scale, 3 * scale])
    trials = [search_figures.Trained(0, 99_104, 0.5, 2), search_figures.Trained(1, 99_105, 0.6, 2)]
    search_figures.front(trials, [(99_105, 0.6)], 99_110, "FLOPs", trials[1])
    assert len(drawn) == 7
    for figure in drawn:
        require_readable(figure)


@pytest.mark.parametrize("count", [2, 12, 40])
def test_long_names_of_classes_are_beside_the_rows_only(drawn, count):
    classes = [f"actinic keratosis {number}" for number in range(count)]
    score_figures.confusion([[1] * count] * count, classes)
    (figure,) = drawn
    require_readable(figure)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [str(n + 1) for n in range(count)]
    assert figure.axes[0].get_yticklabels()[0].get_text() == "actinic keratosis 0  1"


def test_a_profile_of_one_network_has_no_figure_of_a_single_point():
    row = {
        "name": "a", "params": 10, "macs": 100, "keras_adam_bytes": 1_000, "file_bytes": 500, "moved_bytes": 100,
        "latency_ms": {"median": 2.0, "p95": 3.0}, "accuracy": {"value": 0.9}, "accuracy_per_megabyte": 1.0,
        "accuracy_per_second": 1.0,
    }  # fmt: skip
    assert set(draw_figures([row])) == {"disk", "score_time"}
    assert len(draw_figures([row, row | {"name": "b", "macs": 200, "params": 30}])) == 8


def test_a_single_epoch_is_in_the_middle():
    _, axes = blank("epoch", "loss")
    axes.plot([1], [2.0], "o")
    epoch_ticks(axes, 1)
    assert axes.get_xlim() == (0, 2)
    count_ticks(axes.yaxis)
