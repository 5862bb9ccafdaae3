"""Names next to points do not overlap."""

from __future__ import annotations

from random import Random

from matplotlib.text import Text

from lightcnn.output.charts.figures import blank
from lightcnn.output.charts.hotspots import label_points


def test_names_next_to_points_overlap_neither_names_nor_points() -> None:
    _, axes = blank("x", "y")
    random = Random(0)
    points = [axes.plot([random.random()], [random.random()], "o")[0] for _ in range(14)]
    label_points(axes, points, [f"network_{place}" for place in range(14)])
    names = [Text.get_window_extent(text) for text in axes.texts]  # the extent of an annotation includes its line
    boxes = [*(point.get_window_extent() for point in points), *names]
    assert not any(name.overlaps(other) for place, name in enumerate(names) for other in boxes[: len(points) + place])
