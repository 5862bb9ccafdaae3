"""A drawing of a network as SVG: its stages from left to right, with their sizes, marks and shares of the cost.

It needs no script and no style sheet. Texts have the colour of the page (`currentColor`), and kinds of block those of
its variables, such as `--green`, if it has them. Each stage shows its numbers under the pointer, and the drawing has a
text alternative; `network_table` has all its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from lightcnn.output.charts.network_table import Stage, format_share, stage_rows
from lightcnn.text import shorten, visible

NETWORK_FILE = "network.svg"
"""The name of the drawing in a run folder."""
KIND_COLOURS = {
    "conv": "var(--blue, #0072B2)",
    "separable": "var(--sky, #56B4E9)",
    "mbconv": "var(--green, #009E73)",
    "residual": "var(--orange, #D55E00)",
    "se": "var(--pink, #CC79A7)",
}
"""The colours of the kinds of block (Okabe and Ito), which colour-blind readers can distinguish."""
OTHER_COLOUR = "var(--grey, #888888)"
VARIABLE = re.compile(r"var\(--\w+, (#\w+)\)")
"""A variable with its default, which is the colour in a file: programs other than browsers know no variables."""
MAX_HEIGHT, MAX_WIDTH, MIN_SIDE = 110.0, 56.0, 2.0
"""Pixels of the largest resolution and of the most channels; smaller stages are to scale, but stay visible."""
MAX_STAGES_IN_COLUMN = 8
"""Maximum number of stages of a drawing that fits into half of a page; the others have its whole width."""
MIN_DRAWING_WIDTH = {False: 336.0, True: 690.0}
"""Pixels that a drawing fills, by whether it has the whole width of a page: that of a phone, and of a tablet."""
BAR_HEIGHT = 40.0
"""Pixels of the bar of the largest share."""
FONT, LINE, GAP = 12, 17, 8
"""Pixels of the letters, from line to line, and between two stages."""
LETTER_WIDTHS = {"ijlrtfI.,' ": 0.45, "mwMW×%": 1.0}
OTHER_LETTER_WIDTH = 0.67
"""Width of letters in em, at least that in DejaVu Sans, which is wider than other fonts."""
MAX_LETTERS = 16
"""Letters of a label; the text under the pointer has the complete name."""
CENTRE = 22 + MAX_HEIGHT / 2
LABELS = 22 + MAX_HEIGHT + 24
"""Vertical positions of the middle of all stages, below the arcs, and of the first line of labels."""
FILE_STYLE = (
    "svg:root{font-family:system-ui,sans-serif;color:#1a1a1a;background:#fff}"
    "@media (prefers-color-scheme:dark){svg:root{color:#e6e6e6;background:#16181c}}"
)
"""The style of a drawing that is a file of its own."""


def network_svg(name: str, shape: tuple[int, int, int], stages: Sequence[Stage]) -> Markup:
    """The drawing of a network as an SVG element for a page, which must let it scroll: it is as wide as its stages.

    Args:
        name: The name of the network, or an empty text.
        shape: Channels, height and width of the input.
        stages: Its parts from the input to the head.

    Returns:
        The element, which is well-formed XML too.

    Example:
        >>> from lightcnn.output.charts.network_drawing import network_svg
        >>> from lightcnn.output.charts.network_table import Stage
        >>> print(network_svg("tiny", (1, 8, 8), [Stage("stages.0", "conv", (4, 8, 8), 2304, 44)])[:4])
        <svg
    """
    return Markup(ElementTree.tostring(_drawing(name, shape, stages), encoding="unicode"))


def network_file(name: str, shape: tuple[int, int, int], stages: Sequence[Stage]) -> bytes:
    """The same drawing as a file, which is dark in a dark browser."""
    svg = _drawing(name, shape, stages)
    svg.set("xmlns", "http://www.w3.org/2000/svg")  # HTML needs none
    style = ElementTree.Element("style")
    style.text = FILE_STYLE
    svg.insert(0, style)
    text = VARIABLE.sub(r"\1", ElementTree.tostring(svg, encoding="unicode"))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def is_wide(stages: Sequence[Stage]) -> bool:
    """Whether the drawing of a network needs the whole width of a page."""
    return len(stages) > MAX_STAGES_IN_COLUMN


def network_thumbnail(stages: Sequence[Stage]) -> Markup:
    """The boxes of the drawing alone, without texts, at most 40 pixels high."""
    boxes = [(column.width / 4, column.height / 3, _colour(column.stage)) for column in _columns(stages)]
    svg = ElementTree.Element(
        "svg", {"class": "network", "role": "img", "aria-label": f"Network of {len(boxes)} parts"}
    )
    x, middle = 0.0, MAX_HEIGHT / 6
    for width, height, colour in boxes:
        _add(svg, "rect", x=x, y=middle - height / 2, width=width, height=max(height, 1), fill=colour)
        x += width + 1
    svg.attrib |= {"viewBox": f"0 0 {x:.1f} {2 * middle:.1f}", "width": f"{min(x, 120):.0f}", "height": "40"}
    return Markup(ElementTree.tostring(svg, encoding="unicode"))


class _Column(NamedTuple):
    """The place of a stage: its middle, and the width of its box and of its labels, in pixels."""

    stage: Stage
    labels: tuple[str, ...]
    middle: float
    width: float
    height: float
    reserved: float


def _drawing(name: str, shape: tuple[int, int, int], stages: Sequence[Stage]) -> ElementTree.Element:
    columns = list(_columns([Stage("input", "input", shape, 0, 0), *stages]))
    bars = (("multiply-adds", [stage.macs for stage in stages]), ("parameters", [stage.params for stage in stages]))
    texts = [_hover_text(row) for row in stage_rows(stages)]
    svg = ElementTree.Element("svg", {"class": "network", "role": "img"})
    ends = {"x1": columns[0].middle, "x2": columns[-1].middle, "y1": CENTRE, "y2": CENTRE}
    _add(svg, "line", **ends, stroke="currentColor", stroke_opacity=0.4)
    groups = [ElementTree.SubElement(svg, "g", {"class": "tip"}) for _ in columns]
    for group, column, text in zip(groups, columns, [f"input {_format_shape(shape)}", *texts], strict=True):
        _add(group, "title").text = visible(text)
        _stage(group, column)
    y = LABELS + 4 * LINE + 8
    for title, values in bars:
        _text(svg, f"Share of {sum(values):,} {title}", 0, y, anchor="start", weight="bold")
        y = _bars(groups[1:], columns[1:], values, y + 12 + FONT + BAR_HEIGHT) + 30
    y = _legend(svg, stages, y)
    width = columns[-1].middle + columns[-1].reserved / 2
    for column, group in zip(columns, groups, strict=True):  # the whole column answers to the pointer
        left = column.middle - (column.reserved + GAP) / 2
        _add(group, "rect", x=left, y=0, width=column.reserved + GAP, height=y, fill_opacity=0)
    totals = ", ".join(f"{sum(values):,} {title}" for title, values in bars)
    alternative = f"Network {name}: input {_format_shape(shape)}, {totals}. " + "; ".join(texts)
    svg.attrib |= {
        "width": f"{width:.0f}", "height": f"{y:.0f}", "viewBox": f"0 0 {width:.0f} {y:.0f}",
        "font-size": str(FONT), "aria-label": visible(alternative),
    }  # fmt: skip
    return svg


def _columns(stages: Sequence[Stage]) -> Iterator[_Column]:
    """The places of the input and of all stages. The head, which is last, does not decide the scale."""
    channels = max(stage.sizes[0] for stage in stages[:-1])
    pixels = max(stage.sizes[1] for stage in stages)
    labels = [_labels(stage) for stage in stages]
    widths = [min(MAX_WIDTH, max(MIN_SIDE, MAX_WIDTH * stage.sizes[0] / channels)) for stage in stages]
    needed = [max(width, 40, *map(_text_width, lines)) for width, lines in zip(widths, labels, strict=True)]
    empty = MIN_DRAWING_WIDTH[is_wide(stages[1:])] - sum(needed) - GAP * (len(stages) - 1)
    x = 0.0
    for stage, lines, width, least in zip(stages, labels, widths, needed, strict=True):
        reserved = least + max(0, empty) / len(stages)
        height = max(MIN_SIDE, MAX_HEIGHT * stage.sizes[1] / pixels)
        yield _Column(stage, lines, x + reserved / 2, width, height, reserved)
        x += reserved + GAP


def _labels(stage: Stage) -> tuple[str, ...]:
    """The four lines below a stage; some may be empty."""
    channels, height, width = stage.sizes
    lines = (stage.label or stage.kind, stage.detail, f"{channels:,} ch", f"{height}×{width}")
    return tuple(shorten(visible(line), MAX_LETTERS) for line in lines)


def _stage(group: ElementTree.Element, column: _Column) -> None:
    """Draws the box of a stage, its marks and its labels."""
    left, top, stage = column.middle - column.width / 2, CENTRE - column.height / 2, column.stage
    box = {"x": left, "y": top, "width": column.width, "height": column.height}
    if stage.kind == "input":
        _add(group, "rect", **box, fill="none", stroke="currentColor")
    else:
        _add(group, "rect", **box, fill=_colour(stage))
    if stage.skips:
        reach = max(column.width, 16) / 2
        path = f"M{column.middle - reach:.1f} {top - 3:.1f} q{reach:.1f} -22 {2 * reach:.1f} 0"
        _add(group, "path", d=path, fill="none", stroke="currentColor", stroke_width=1.5)
    if stage.excites:
        _add(group, "circle", cx=column.middle, cy=CENTRE, r=4, fill="none", stroke="currentColor", stroke_width=1.5)
    for number, line in enumerate(column.labels):
        _text(group, line, column.middle, LABELS + number * LINE)


def _bars(
    groups: Sequence[ElementTree.Element], columns: Sequence[_Column], values: Sequence[int], bottom: float
) -> float:
    """Draws a bar with its percentage for each stage that has a share. Returns the bottom."""
    for group, column, value in zip(groups, columns, values, strict=True):
        if value:
            height = max(1, BAR_HEIGHT * value / max(values))
            box = {"x": column.middle - 14, "y": bottom - height, "width": 28, "height": height}
            _add(group, "rect", **box, fill=_colour(column.stage))
            _text(group, format_share(value, sum(values)), column.middle, bottom - height - 4)
    return bottom


def _legend(svg: ElementTree.Element, stages: Sequence[Stage], y: float) -> float:
    """Writes what height, width and marks mean. Returns the bottom."""
    arc = "Arc: skip connection." if any(stage.skips for stage in stages) else ""
    ring = "Ring: squeeze-and-excitation." if any(stage.excites for stage in stages) else ""
    for line in ("Height: resolution. Width: channels.", f"{arc} {ring}".strip()):
        if line:
            _text(svg, line, 0, y, anchor="start")
            y += LINE
    return y


def _hover_text(row: tuple[str | int, ...]) -> str:
    """A row of the table as one line."""
    name, kind, settings, shape, macs, macs_share, params, params_share = row
    facts = f"{name} {kind}" + (f" ({settings})" if settings else "")
    cost = f"{macs:,} multiply-adds ({macs_share}), {params:,} parameters ({params_share})"
    return visible(f"{facts}: output {shape or 'unknown'}, {cost}")


def _colour(stage: Stage) -> str:
    return KIND_COLOURS.get(stage.kind.partition(" ")[0], OTHER_COLOUR)


def _format_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _text_width(text: str) -> float:
    """The most pixels that a label takes."""
    widths = {letter: width for letters, width in LETTER_WIDTHS.items() for letter in letters}
    return FONT * sum(widths.get(letter, OTHER_LETTER_WIDTH) for letter in text)


def _text(
    parent: ElementTree.Element, text: str, x: float, y: float, *, anchor: str = "middle", weight: str = "normal"
) -> None:
    if text:
        element = _add(parent, "text", x=x, y=y, fill="currentColor", text_anchor=anchor, font_weight=weight)
        element.text = text


def _add(parent: ElementTree.Element, tag: str, **attributes: str | float) -> ElementTree.Element:
    """A new element; numbers have one decimal, and `_` in a name is `-`."""
    texts = {
        name.replace("_", "-"): value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
        for name, value in attributes.items()
    }
    return ElementTree.SubElement(parent, tag, texts)
