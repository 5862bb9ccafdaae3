"""What all figures share: frame, colours, labels, PNG bytes, and the bar with a warning."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from lightcnn.output.charts.fonts import drawable, use_fallbacks
from lightcnn.output.charts.plotting import (
    Axes,
    Axis,
    EngFormatter,
    Figure,
    FigureCanvasAgg,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    mpl,
)
from lightcnn.text import shorten, visible

BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (ORANGE, BLUE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that colour-blind readers can distinguish (Okabe and Ito)."""
GREY = "#888888"
INK, MUTED, GRID = "#000000", "#5b6470", "#dfe3e8"
"""Colours of text, of ticks and of grid lines."""
ON_SERIES = "#fffffe"
"""Colour of text on a filled shape."""
NAMES = ("orange", "blue", "green", "pink", "yellow", "sky", "ink")
VARIABLES = {
    **{colour.lower(): f"var(--{name})" for colour, name in zip(COLOURS, NAMES, strict=True)},
    GREY: "var(--grey)", MUTED: "var(--muted)", GRID: "var(--grid)", ON_SERIES: "var(--on-series)",
    "#ffffff": "var(--surface)",
}  # fmt: skip
"""Colour of a figure → its variable in the stylesheet of the pages, whose value depends on the mode."""
SIZE = (4.3, 2.9)
"""Width and height in inches of a chart that fits a phone and half of a desktop's page."""
SQUARE = (4.3, 3.8)
"""The same of a chart whose axes are almost square."""
LABEL_POINTS = 9
"""Size of the text in a chart."""
NO_LAYOUT: Any = {"figure.autolayout": False, "figure.constrained_layout.use": False}
"""Settings of matplotlib with which a figure without a layout engine has none: those of the user may name one."""
PNG_DPI = 130
"""Pixels per inch of the files in `plots/`."""
MARKERS = ("o", "s", "^", "D")
"""Markers; with the colours, 28 series can be distinguished."""
MAX_TICKS = 5
"""Maximum number of intervals between the labels of an axis of counts."""
MAX_LABEL_LETTERS = 24
"""Length to which a name is shortened in a figure."""


def blank(x: str, y: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """An empty figure with a pair of labelled axes; `size` is in inches."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    name_axes(axes, x, y)
    return figure, axes


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Labels the two axes, and draws a light grid behind the data in place of a frame."""
    axes.set_xlabel(x, fontsize=LABEL_POINTS, color=MUTED)
    axes.set_ylabel(y, fontsize=LABEL_POINTS, color=MUTED)
    clear_frame(axes)


def clear_frame(axes: Axes) -> None:
    """Draws a light grid and grey ticks in place of a frame."""
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=LABEL_POINTS, labelcolor=MUTED)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def label_text(text: str) -> str:
    """A user's name as a label: one line, shortened, and not read as mathematics."""
    return without_mathematics(shorten(drawable(visible(text)), MAX_LABEL_LETTERS))


def without_mathematics(text: str) -> str:
    """Text that matplotlib can draw and does not read as mathematics."""
    return drawable(text).replace("$", r"\$")


def percent(axes: Axes) -> None:
    """Shows the fractions of the vertical axis as percentages, with a small margin above 100 %."""
    percent_ticks(axes.yaxis)
    low, high = axes.get_ylim()
    if high > 1:
        axes.set_ylim(min(low, 0.98), 1 + 0.03 * (1 - min(low, 0.98)))


def percent_ticks(axis: Axis, *, unit: str = "%") -> None:
    """Labels fractions as 50% or 99.5%; without a `unit` as points."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}{unit}"))


def count_ticks(axis: Axis) -> None:
    """A few labels such as 200k or 1.5M, which fit side by side."""
    axis.set_major_locator(MaxNLocator(MAX_TICKS))
    axis.set_major_formatter(EngFormatter(sep=""))


def logarithmic(axis: Axis, *, counts: bool = False) -> None:
    """A logarithmic axis with a few labels: even steps on a short axis; 1, 2, 5 or only 1 on a long one.

    `counts` are written as 200k or 1.5M. Call it after everything is drawn, since it reads the limits of the axis.
    """
    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    even = MaxNLocator(MAX_TICKS, steps=[1, 2, 5, 10]) if high < 5 * low else None
    axis.set_major_locator(even or LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(EngFormatter(sep="") if counts else FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def epoch_ticks(axes: Axes, epochs: int) -> None:
    """Whole numbers on the horizontal axis; a single epoch is in its middle."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if epochs == 1:
        axes.set_xlim(0, 2)


def png(figure: Figure) -> bytes:
    """A figure as a PNG file. It is finished then: its parts stay where they are, and whatever draws it again is quick.

    The canvas draws once, where `savefig` draws twice.
    """
    buffer = io.BytesIO()
    use_fallbacks(figure)
    figure.set_dpi(PNG_DPI)
    figure.set_facecolor("white")
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    with mpl.rc_context(NO_LAYOUT):
        figure.set_layout_engine(None)
    return buffer.getvalue()


def add_warning_bar(image_file: bytes, text: str) -> bytes:
    """A PNG file with a red bar above it that shows the text."""
    image = Image.open(io.BytesIO(image_file)).convert("RGB")
    font = ImageFont.load_default(size=14)
    width = max(image.width, int(font.getlength(text)) + 16)
    sheet = Image.new("RGB", (width, image.height + 26), "white")
    sheet.paste(image, (0, 26))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 0, width, 25), fill="#b00020")
    draw.text((8, 4), text, fill="white", font=font)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, score) pairs that no other pair beats in both, in ascending order of cost."""
    best: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best
