"""Direct labels in charts, which do not overlap: at the ends of lines, and beside points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lightcnn.output.charts.figures import GREY, LABEL_POINTS
from lightcnn.output.charts.fonts import use_fallbacks
from lightcnn.output.charts.plotting import Bbox, Figure, FigureCanvasAgg

GAPS = (3, 10, 20, 32, 46, 64)
"""Distances in typographic points between a data point and its label, tried in this order."""
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Directions (right, up) from a data point to its label, tried in this order."""
LINE_POINTS = 1.35 * LABEL_POINTS
"""Distance in points from one label at the end of a line to the next."""


class LineEnd(NamedTuple):
    """The last point of a line in data coordinates, its label, and the colour of both."""

    y: float
    text: str
    colour: str


def label_ends(axes: Any, ends: Sequence[LineEnd]) -> None:
    """Writes the labels of lines in the right margin, each at the height of its line's end, moved apart if needed.

    Call it after everything is drawn, since it reads the limits of the axes.
    """
    _lay_out(axes.figure)
    box, step = axes.get_window_extent(), LINE_POINTS * axes.figure.dpi / 72
    ordered = sorted(ends, key=lambda end: end.y)
    places = [float(axes.transData.transform((axes.get_xlim()[1], end.y))[1]) for end in ordered]
    for index in range(1, len(places)):  # upwards from the lowest
        places[index] = max(places[index], places[index - 1] + step)
    over = max(0.0, places[-1] - box.y1) if places else 0.0
    for index in reversed(range(len(places))):  # and back down from the top
        limit = places[index + 1] - step if index + 1 < len(places) else places[index] - over
        places[index] = min(places[index], limit)
    for end, place in zip(ordered, places, strict=True):
        axes.annotate(
            end.text, (1, (place - box.y0) / box.height), (5, 0), xycoords="axes fraction", textcoords="offset points",
            va="center", fontsize=LABEL_POINTS, color=end.colour, annotation_clip=False,
        )  # fmt: skip


def label_points(
    axes: Any, points: Sequence[Any], names: Sequence[str], *, size: float = 7, avoid: Sequence[Any] = ()
) -> None:
    """Writes each name as close to its point as possible without covering another name, a point or `avoid`.

    A name without a free place near its point is left out.
    """
    _lay_out(axes.figure)
    frame, occupied = axes.get_window_extent(), [artist.get_window_extent() for artist in (*points, *avoid)]
    scale = axes.figure.dpi / 72
    for point, name in zip(points, names, strict=True):
        text = axes.annotate(
            name, point.get_xydata()[0], (0, 0), xycoords=point.get_transform(), textcoords="offset points",
            ha="center", va="center", fontsize=size,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 1},
        )  # fmt: skip
        text.set_in_layout(False)
        marker, extent = point.get_window_extent(), text.get_window_extent()
        places = list(_places(marker, extent, scale))
        free = (box for box in places if _inside(box, frame) and not any(map(box.overlaps, occupied)))
        box = next(free, None)
        if box is None:  # there is no room
            text.remove()
            continue
        text.arrow_patch.set_visible(box not in places[: len(DIRECTIONS)])
        occupied.append(box)
        text.set_position(
            (
                (box.x0 + box.x1 - marker.x0 - marker.x1) / 2 / scale,
                (box.y0 + box.y1 - marker.y0 - marker.y1) / 2 / scale,
            )
        )


def _lay_out(figure: Figure) -> None:
    """Lays the figure out, so that the places of its parts are known."""
    use_fallbacks(figure)
    FigureCanvasAgg(figure)  # has a renderer, which measures texts
    figure.draw_without_rendering()


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
