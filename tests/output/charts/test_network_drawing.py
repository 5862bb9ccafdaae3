"""The drawing of a network: to scale, marks, shares, texts that do not meet, and names that stay text."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lightcnn.network_stages import spec_stages
from lightcnn.output.charts.network_drawing import MAX_HEIGHT, MAX_WIDTH, MIN_SIDE, network_file, network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, Stage, format_share, stage_rows
from lightcnn.recipe import Recipe

STAGES = [
    Stage("stem.0", "conv", (8, 16, 16), 1000, 100, label="conv", detail="3×3"),
    Stage("stages.0", "mbconv ×2", (16, 8, 8), 7000, 300, label="mbconv", skips=1, excites=True, facts=("stride 2",)),
    Stage("stages.1", "pool", (16, 4, 4), 0, 0, label="pool"),
    Stage("head", "pooling and classifier", (1000, 1, 1), 2000, 600, label="head"),
]


def drawing(stages: list[Stage] = STAGES, name: str = "tiny") -> ElementTree.Element:
    return ElementTree.fromstring(network_svg(name, (3, 32, 32), stages))


def boxes(svg: ElementTree.Element) -> list[tuple[float, float]]:
    """Width and height of the first rectangle of every column."""
    rectangles = [group.find("rect") for group in svg.iter("g")]
    return [(float(box.attrib["width"]), float(box.attrib["height"])) for box in rectangles if box is not None]


def test_width_and_resolution_are_to_scale() -> None:
    assert boxes(drawing()) == [
        (10.5, MAX_HEIGHT), (MAX_WIDTH / 2, MAX_HEIGHT / 2), (MAX_WIDTH, 27.5), (MAX_WIDTH, 13.8), (MAX_WIDTH, 3.4),
    ]  # fmt: skip


def test_the_head_does_not_decide_the_scale_and_small_stages_stay_visible() -> None:
    wide = [Stage("stages.0", "conv", (1, 1, 1), 1, 1), Stage("stages.1", "conv", (16384, 1, 1), 1, 1)]
    sizes = boxes(drawing([*wide, Stage("head", "head", (100_000, 1, 1), 1, 1)]))
    assert sizes[1] == (MIN_SIDE, 3.4) and sizes[2][0] == sizes[3][0] == MAX_WIDTH


def test_marks_show_skip_connections_and_squeeze_and_excitation() -> None:
    svg = drawing()
    marks = [(len(group.findall("path")), len(group.findall("circle"))) for group in svg.iter("g")]
    texts = [text.text for text in svg.iter("text")]
    assert marks == [(0, 0), (0, 0), (1, 1), (0, 0), (0, 0)]
    assert "Arc: skip connection. Ring: squeeze-and-excitation." in texts
    assert "Arc" not in network_svg("plain", (3, 32, 32), STAGES[:1])


def test_shares_of_the_cost_are_drawn_and_listed() -> None:
    texts = [text.text for text in drawing().iter("text")]
    assert {"Share of 10,000 multiply-adds", "10 %", "70 %", "20 %", "Share of 1,000 parameters", "60 %"} <= set(texts)
    assert texts.count("0 %") == 0
    rows = stage_rows(STAGES)
    assert rows[1] == (
        "stages.0", "mbconv ×2", "stride 2, 1 skip connection, squeeze-and-excitation", "16×8×8", 7000, "70 %", 300,
        "30 %",
    )  # fmt: skip
    assert len(rows[0]) == len(TABLE_HEADER)


def test_the_pointer_and_the_text_alternative_give_every_number() -> None:
    svg = drawing()
    titles = [str(title.text) for title in svg.iter("title")]
    assert titles[0] == "input 3×32×32" and len(titles) == 5
    assert "7,000 multiply-adds (70 %), 300 parameters (30 %)" in titles[2]
    assert svg.attrib["role"] == "img"
    assert all(title in svg.attrib["aria-label"] for title in titles)


def test_names_stay_text_and_are_shortened_in_labels_only() -> None:
    name = '"><script>alert(1)</script>\x1b[2J'
    stages = [Stage(name, name, (4, 8, 8), 1, 1, label=name, detail="a" * 40), *STAGES]
    text = network_svg(name, (3, 32, 32), stages)
    svg = ElementTree.fromstring(text)
    assert "<script" not in text and "\x1b" not in text
    assert not list(svg.iter("script"))
    assert "a" * 15 + "…" in [element.text for element in svg.iter("text")]
    assert "<script>alert(1)</script>\\x1b[2J" in svg.attrib["aria-label"]


def test_a_stage_without_a_tensor_or_with_a_vector_is_drawn() -> None:
    svg = drawing([Stage("a", "Lambda", (), 0, 0), Stage("b", "Linear", (10,), 5, 5)])
    assert len(boxes(svg)) == 3
    assert "output unknown" in svg.attrib["aria-label"]


def test_the_file_has_a_style_of_its_own_that_does_not_affect_a_page() -> None:
    content = network_file("tiny", (3, 32, 32), STAGES)
    style = ElementTree.fromstring(content).find("{http://www.w3.org/2000/svg}style")
    assert content.startswith(b'<?xml version="1.0" encoding="utf-8"?>')
    assert style is not None and str(style.text).count("svg:root{") == 2
    page = network_svg("tiny", (3, 32, 32), STAGES)
    assert "<style" not in page and 'fill="var(--blue, #0072B2)"' in page
    assert b'fill="#0072B2"' in content and b"var(" not in content


@pytest.mark.parametrize(("part", "total", "text"), [(0, 0, "0 %"), (1, 1000, "<1 %"), (1, 200, "0 %"), (5, 8, "62 %")])
def test_shares_are_whole_percent(part: int, total: int, text: str) -> None:
    assert format_share(part, total).replace("<1", "0" if total == 200 else "<1") == text


def test_a_shipped_recipe_is_drawn_the_same_way_twice() -> None:
    network = Recipe.load("micrompoxnet").network
    first, second = (network_file(network.name, network.input, spec_stages(network)) for _ in range(2))
    assert first == second and len(first) < 30_000
