"""Figures whose parts show a text under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn.output.charts.figures import png
from lightcnn.output.charts.labels import draw
from lightcnn.output.charts.plotting import Figure
from lightcnn.output.html import Spot


@dataclass(frozen=True)
class InteractiveFigure:
    """A PNG file, and the texts of its parts."""

    png: bytes
    spots: tuple[Spot, ...]


def interactive_figure(figure: Figure, texts: Sequence[tuple[Any, str]]) -> InteractiveFigure:
    """The figure as a PNG file, with the place of each artist and its text."""
    draw(figure)
    width, height = figure.bbox.size
    spots = []
    for artist, text in texts:
        box = artist.get_window_extent()
        left, top = box.x0 / width, 1 - box.y1 / height
        size = max(0.01, box.width / width), max(0.01, box.height / height)
        spots.append(Spot(float(left), float(top), float(size[0]), float(size[1]), text))
    return InteractiveFigure(png(figure), tuple(spots))
