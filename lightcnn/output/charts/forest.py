"""Values with intervals as rows, one below the other: forest plots of scores, differences and correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lightcnn.output.charts.figures import BLUE, LABEL_POINTS
from lightcnn.output.charts.plotting import Axes

ROW_INCHES = 0.27
"""Height of a row."""


class ForestRow(NamedTuple):
    """A row: its name, its value and interval, the text of both at its right, and the colour of its mark.

    `low` and `high` are None if there is no interval. The name must be one that matplotlib can draw.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    text: str
    colour: str = BLUE


def draw_forest(axes: Axes, rows: Sequence[ForestRow]) -> list[Any]:
    """Draws the rows from top to bottom, and returns the mark of each for its tip."""
    marks = []
    for place, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=row.colour, linewidth=2, solid_capstyle="round")
        marks.append(axes.plot([row.value], [place], "o", color=row.colour, markersize=6)[0])
        axes.annotate(
            row.text, (1, place), (5, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center",
            fontsize=LABEL_POINTS, annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=LABEL_POINTS)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    return marks
