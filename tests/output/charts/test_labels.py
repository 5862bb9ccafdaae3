"""Names next to points and at the ends of lines do not overlap."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from matplotlib.text import Text

from lightcnn.output.charts.figures import BLUE, blank
from lightcnn.output.charts.labels import LineEnd, label_ends, label_points


def test_names_next_to_points_overlap_neither_names_nor_points() -> None:
    _, axes = blank("x", "y")
    random = Random(0)
    points = [axes.plot([random.random()], [random.random()], "o")[0] for _ in range(14)]
    label_points(axes, points, [f"network_{place}" for place in range(14)])
    names = [Text.get_window_extent(text) for text in axes.texts]  # the extent of an annotation includes its line
    boxes = [*(point.get_window_extent() for point in points), *names]
    assert not any(name.overlaps(other) for place, name in enumerate(names) for other in boxes[: len(points) + place])


def test_labels_at_the_ends_of_lines_are_in_the_order_of_the_lines_and_do_not_overlap() -> None:
    for heights in ([0.5, 0.501, 0.502, 0.1], [1.0, 0.99, 0.98, 0.97], [0.0] * 4, [0.3]):
        _, axes = blank("x", "y")
        for height in heights:
            axes.plot([0, 1], [0, height])
        axes.set_ylim(0, 1)
        label_ends(axes, [LineEnd(height, f"trial {place}", BLUE) for place, height in enumerate(heights)])
        axes.figure.canvas.draw()
        boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
        assert len(boxes) == len(heights) and all(low.y1 < high.y0 for low, high in pairwise(boxes))
        assert all(box.x0 > axes.get_window_extent().x1 for box in boxes)
        lowest = min(axes.texts, key=lambda text: text.get_window_extent().y0).get_text()
        assert heights[int(lowest.split()[1])] == min(heights)


def test_a_name_without_a_free_place_is_left_out() -> None:
    _, axes = blank("x", "y", (0.9, 0.8))
    points = [axes.plot([place % 5], [place // 5], "o")[0] for place in range(20)]
    label_points(axes, points, ["a long name of a network"] * 20)
    assert len(axes.texts) < 20
