"""Forest plots: one row per value, from top to bottom, with its interval and its text."""

from __future__ import annotations

from lightcnn.output.charts.figures import blank
from lightcnn.output.charts.forest import ForestRow, draw_forest


def test_rows_are_drawn_from_top_to_bottom_with_their_intervals() -> None:
    figure, axes = blank("difference", "", (4.8, 2.0))
    rows = [ForestRow("first", 0.2, 0.1, 0.4, "+0.2"), ForestRow("second", -0.1, None, None, "-0.1")]
    marks = draw_forest(axes, rows)
    figure.canvas.draw()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert [text.get_text() for text in axes.texts] == ["+0.2", "-0.1"]
    tops = [mark.get_window_extent().y1 for mark in marks]
    assert tops[0] > tops[1]
    lines = [list(line.get_xdata()) for line in axes.lines]
    assert lines == [[0.1, 0.4], [0.2], [-0.1]]
    text = axes.texts[0].get_window_extent()
    assert text.x0 > axes.get_window_extent().x1
    assert text.x1 <= figure.bbox.x1
