"""Charts as inline SVG: no styles, unique references, colours of the stylesheet, tips, and a PNG of the same figure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from helpers.figures import read_image

from lightcnn.output.charts.figures import BLUE, blank
from lightcnn.output.charts.svg import Chart, chart
from lightcnn.output.html import PACKAGE, TEMPLATES


def draw(label: str = "a < b & $c") -> Chart:
    figure, axes = blank("x", "y")
    axes.plot([0, 1, 2], [0, 3, 1], "-o", color=BLUE, label=label.replace("$", r"\$"))
    mark = axes.plot([1], [2], "o", color=BLUE)[0]
    axes.legend(frameon=False)
    return chart(figure, "What it <shows>", [(mark, "one & <all>\x1b")])


def test_both_forms_show_the_same_figure() -> None:
    drawn = draw()
    image, root = read_image(drawn.png), ElementTree.fromstring(drawn.svg)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert image.width / image.height == pytest.approx(width / height, rel=0.01)
    assert "a < b & $c" in [element.text for element in root.iter("text")]


def test_the_svg_has_no_styles_and_no_fixed_colours() -> None:
    text = draw().svg
    assert "style" not in text and "<metadata" not in text and "xmlns" not in text and 'href="http' not in text
    assert not re.findall(r"#[0-9a-f]{6}\b", text.lower())
    assert "var(--blue)" in text and "var(--grid)" in text


def test_references_are_unique_to_the_chart_and_lead_to_an_element() -> None:
    texts = [draw().svg, draw("another").svg]
    names = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert names[0] and not names[0] & names[1]
    for text, known in zip(texts, names, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) == known


def test_the_svg_states_what_it_shows_and_marks_have_tips() -> None:
    root = ElementTree.fromstring(draw().svg)
    assert root.attrib["role"] == "img" and root.attrib["aria-label"] == "What it <shows>"
    (tip,) = [group for group in root.iter("g") if group.get("class") == "tip"]
    assert [title.text for title in tip.iter("title")] == [r"one & <all>\x1b"]


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert draw() == draw()


def test_a_warning_is_in_the_image_and_beside_the_svg() -> None:
    plain = draw()
    warned = plain.with_warning("STAND-IN")
    assert read_image(warned.png).height == read_image(plain.png).height + 26
    assert warned.warning == "STAND-IN" and warned.svg == plain.svg and plain.with_warning("") is plain


def test_every_colour_variable_is_in_both_modes_of_the_stylesheet() -> None:
    style = (PACKAGE / TEMPLATES / "style.css").read_text(encoding="utf-8")
    used = set(re.findall(r"var\((--[a-z-]+)\)", style + draw().svg))
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    colours = set(re.findall(r"(--[a-z-]+): #", light))
    assert len(colours) > 15 and used <= set(re.findall(r"(--[a-z-]+):", light))
    assert colours == set(re.findall(r"(--[a-z-]+): #", dark.partition("\n}")[0]))
