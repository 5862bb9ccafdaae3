"""A chart in both forms: PNG bytes for `plots/`, and inline SVG for pages, which follows their colours and mode.

matplotlib writes the SVG. Its `style` attributes, which the policy of the pages forbids, become presentation
attributes, and the colours of `figures` become variables of the stylesheet.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from lightcnn.output.charts.figures import NO_LAYOUT, VARIABLES, add_warning_bar, png
from lightcnn.output.charts.fonts import remove_note, use_fallbacks
from lightcnn.output.charts.plotting import Bbox, Figure, mpl
from lightcnn.text import visible

FONT_SIZE = re.compile(r"([\d.]+)px")
DECIMALS = re.compile(r"-?\d+\.\d{2,}")
DROPPED = {"metadata", "style"}
"""Elements of matplotlib's SVG that pages do not need."""
IMAGE_DPI = 144
"""Pixels per inch of images within a chart, such as maps."""
MARGIN_INCHES = 0.05
"""White above and below what is drawn."""
BROAD_INCHES = 5.5
"""Width from which a chart does not fit a phone; there it scrolls."""
PIXELS_PER_POINT = 1.45
"""Largest scale of a chart in a page, so that its text of 9 points is at most as large as that of the page."""


@dataclass(frozen=True)
class Chart:
    """A chart: its PNG file, its inline SVG, and the text that describes it to those who do not see it."""

    png: bytes
    svg: Markup
    description: str
    warning: str = ""

    def with_warning(self, text: str) -> Chart:
        """The chart with a bar above it that shows the text, if any."""
        return replace(self, png=add_warning_bar(self.png, text), warning=text) if text else self


def chart(figure: Figure, description: str, tips: Sequence[tuple[Any, str]] = ()) -> Chart:
    """Both forms of a figure; each artist of `tips` shows its text under the pointer."""
    use_fallbacks(figure)
    for number, (artist, _) in enumerate(tips):
        artist.set_gid(f"tip{number}")
    texts = {f"tip{number}": text for number, (_, text) in enumerate(tips)}
    return Chart(png(figure), _inline_svg(figure, description, texts), description)


def _inline_svg(figure: Figure, description: str, tips: Mapping[str, str]) -> Markup:
    """A figure, already drawn by `png`, as an SVG element without styles.

    `tips` are texts by the group identifier of their artist.
    """
    buffer = io.BytesIO()
    remove_note(figure)
    # Text stays text, and equal figures give equal bytes.
    with mpl.rc_context(NO_LAYOUT | {"svg.fonttype": "none", "svg.hashsalt": "lightcnn"}):
        figure.savefig(
            buffer, format="svg", facecolor="none", metadata={"Date": None, "Creator": None}, dpi=IMAGE_DPI,
            bbox_inches=_drawn_part(figure),
        )  # fmt: skip
    root = ElementTree.fromstring(buffer.getvalue())
    prefix = f"c{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}-"
    for element in root.iter():
        _clean(element, prefix, tips)
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])
    root.attrib = {
        "class": "chart broad" if figure.get_figwidth() > BROAD_INCHES else "chart",
        "viewBox": f"0 0 {width:g} {height:g}", "width": f"{PIXELS_PER_POINT * width:.0f}",
        "role": "img", "aria-label": visible(description),
    }  # fmt: skip
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _drawn_part(figure: Figure) -> Bbox:
    """The figure without the empty space above and below what is drawn, in inches; the PNG file keeps it."""
    drawn = figure.get_tightbbox()
    return Bbox.from_extents(0, drawn.y0 - MARGIN_INCHES, figure.get_figwidth(), drawn.y1 + MARGIN_INCHES)


def _clean(element: ElementTree.Element, prefix: str, tips: Mapping[str, str]) -> None:
    """Replaces an element's namespaces, identifiers, styles and colours, and adds its tip if it has one."""
    element.tag = _local(element.tag)
    element.text, element.tail = (element.text or "").strip() or None, None
    for child in [child for child in element if _local(child.tag) in DROPPED]:
        element.remove(child)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    identifier, style = attributes.pop("id", ""), attributes.pop("style", "")
    if element.tag not in ("g", "svg") and identifier:
        attributes["id"] = prefix + identifier
    attributes |= dict(_presentation(style))
    element.attrib = {name: _value(name, value, prefix) for name, value in attributes.items()}
    if identifier in tips:
        element.set("class", "tip")
        ElementTree.SubElement(element, "title").text = visible(tips[identifier])


def _presentation(style: str) -> Iterable[tuple[str, str]]:
    """The declarations of a `style` attribute as attributes; the family of fonts is that of the page."""
    for declaration in filter(None, style.split(";")):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = FONT_SIZE.search(value)
            yield from [("font-size", size[1])] if size else []
        elif name.isascii() and name.replace("-", "").isalpha() and name != "font-family":
            yield name, value


def _value(name: str, value: str, prefix: str) -> str:
    """An attribute's value: short numbers, prefixed references, variables for colours."""
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if value.startswith("url(#"):
        return f"url(#{prefix}{value[5:]}"
    if name in ("d", "x", "y", "width", "height", "points") or value.startswith("rotate"):
        return DECIMALS.sub(lambda number: f"{float(number[0]):.1f}", " ".join(value.split()))
    return VARIABLES.get(value.lower(), value)


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
