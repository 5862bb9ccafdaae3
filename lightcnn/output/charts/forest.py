"""Values with intervals as rows, one below the other: forest plots of scores, differences and correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lightcnn.output.charts.figures import BLUE, LABEL_POINTS, MAX_TICKS
from lightcnn.output.charts.plotting import Axes, MaxNLocator, Text

ROW_INCHES, NAMED_ROW_INCHES = 0.27, 0.46
"""Height of a row with its name at the left, and with its name above."""


class ForestRow(NamedTuple):
    """A row: its name, its value and interval, the text of the value at its right, and the colour of its mark.

    `low` and `high` are None if there is no interval. The name must be one that matplotlib can draw.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    text: str
    colour: str = BLUE


def draw_forest(axes: Axes, rows: Sequence[ForestRow], *, names_above: bool = False) -> list[Any]:
    """Draws the rows from top to bottom, and returns the mark of each for its tip.

    With `names_above`, for long names, each is above its row in place of the left.
    """
    marks = []
    for place, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=row.colour, linewidth=2, solid_capstyle="round")
        marks.append(axes.plot([row.value], [place], "o", color=row.colour, markersize=6)[0])
        _write(axes, row.text, (1, place), 5)
        if names_above:
            name = _write(axes, row.name, (0, place - 0.45), 0)
            name.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})  # no line crosses it
    axes.set_yticks(range(len(rows)), ["" if names_above else row.name for row in rows], fontsize=LABEL_POINTS)
    axes.set_ylim(len(rows) - 0.4, -0.8 if names_above else -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS))
    axes.grid(axis="y", visible=False)
    return marks


def _write(axes: Axes, text: str, place: tuple[float, float], shift: float) -> Text:
    """A text at a fraction of the width and at a row."""
    return axes.annotate(
        text, place, (shift, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center",
        fontsize=LABEL_POINTS, annotation_clip=False,
    )  # fmt: skip
