"""Figures whose parts show a text under the pointer, and labels of points that do not overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn.output.charts.figures import GREY, png
from lightcnn.output.charts.fonts import use_fallbacks
from lightcnn.output.charts.plotting import Bbox, Figure, FigureCanvasAgg
from lightcnn.output.html import Spot

GAPS = (3, 10, 20, 32, 46, 64)
"""Distances in typographic points between a data point and its label, tried in this order."""
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Directions (right, up) from a data point to its label, tried in this order."""


@dataclass(frozen=True)
class InteractiveFigure:
    """A PNG file, and the texts of its parts."""

    png: bytes
    spots: tuple[Spot, ...]


def interactive_figure(figure: Figure, texts: Sequence[tuple[Any, str]]) -> InteractiveFigure:
    """The figure as a PNG file, with the place of each artist and its text."""
    _draw(figure)
    width, height = figure.bbox.size
    spots = []
    for artist, text in texts:
        box = artist.get_window_extent()
        left, top = box.x0 / width, 1 - box.y1 / height
        size = max(0.01, box.width / width), max(0.01, box.height / height)
        spots.append(Spot(float(left), float(top), float(size[0]), float(size[1]), text))
    return InteractiveFigure(png(figure), tuple(spots))


def label_points(axes: Any, points: Sequence[Any], names: Sequence[str]) -> None:
    """Writes each name as close to its point as possible without covering another name or a point."""
    _draw(axes.figure)
    frame, occupied = axes.get_window_extent(), [point.get_window_extent() for point in points]
    scale = axes.figure.dpi / 72
    for point, name in zip(points, names, strict=True):
        text = axes.annotate(
            name, point.get_xydata()[0], (0, 0), textcoords="offset points", ha="center", va="center", fontsize=7,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 1},
        )  # fmt: skip
        text.set_in_layout(False)
        marker, size = point.get_window_extent(), text.get_window_extent()
        places = list(_places(marker, size, scale))
        free = (box for box in places if _inside(box, frame) and not any(map(box.overlaps, occupied)))
        box = next(free, places[0])
        text.arrow_patch.set_visible(box not in places[: len(DIRECTIONS)])
        occupied.append(box)
        text.set_position(
            (
                (box.x0 + box.x1 - marker.x0 - marker.x1) / 2 / scale,
                (box.y0 + box.y1 - marker.y0 - marker.y1) / 2 / scale,
            )
        )


def _draw(figure: Figure) -> None:
    """Draws the figure, so that the places of its parts are known."""
    use_fallbacks(figure)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


def _places(point: Bbox, text: Bbox, scale: float) -> Iterator[Bbox]:
    """Candidate places for a text of this size, in pixels, the nearest first."""
    x, y = (point.x0 + point.x1) / 2, (point.y0 + point.y1) / 2
    for gap in GAPS:
        for right, up in DIRECTIONS:
            left = x + right * (point.width / 2 + gap * scale + text.width / 2) - text.width / 2
            low = y + up * (point.height / 2 + gap * scale + text.height / 2) - text.height / 2
            yield Bbox.from_bounds(left, low, text.width, text.height)


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
