"""Every kind of page in Chromium: on a phone, a tablet and a desk, light and dark, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import AXE, MODES, WIDTHS, Tab, chromium, needs_browser
from helpers.pages import page_of
from helpers.report_pages import COMMANDS, write_pages

from lightcnn import document
from lightcnn.network_stages import spec_stages
from lightcnn.output import html
from lightcnn.output.charts.network_drawing import network_svg
from lightcnn.recipe import Recipe
from lightcnn.space import SearchSpace
from lightcnn.spec import InvertedResidualBlock, NetworkSpec

AXE_WIDTH, COLOUR_RULES = 768, ("color-contrast", "link-in-text-block")
"""The width at which axe runs: it takes a second for a page, and its rules do not depend on the width.

These are all that depend on the mode."""
PLANTED = """
<div style="width: 3000px">wide</div><p style="position: absolute; top: 300px">first text</p>
<p style="position: absolute; top: 305px">second text</p><svg width="9" height="9"><rect/></svg>
<img src="https://example.invalid/a.png"><script>throw new Error("planted")</script>
"""
"""A page without a title that fails every check."""

pytestmark = needs_browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of every command."""
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system."""
    with chromium() as browser:
        yield browser


class Visit(Tab):
    """A page of a file that was opened, with its details unfolded."""

    def __init__(self, browser: Any, file: Path, mode: str, *, script: bool = True) -> None:
        super().__init__(browser, file.as_uri(), mode=mode, script=script)
        self.page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")


def problems_of(browser: Any, file: Path) -> dict[str, list[str]]:
    """The problems of a page by check, in all widths and modes; only colours depend on the mode, which axe checks."""
    problems: dict[str, list[str]] = {}
    for mode in MODES:
        visit = Visit(browser, file, mode)
        for width in WIDTHS if mode == MODES[0] else (AXE_WIDTH,):
            visit.resize(width)
            for name in ("scroll", "overlaps", "alternatives", "markup"):
                problems.setdefault(name, []).extend(f"{width} {mode}: {text}" for text in visit.check(name))
            if width == AXE_WIDTH:
                rules = () if mode == MODES[0] else COLOUR_RULES
                problems.setdefault("axe", []).extend(f"{width} {mode}: {text}" for text in visit.axe_problems(*rules))
        for name, events in visit.events.items():
            problems.setdefault(name, []).extend(f"{mode}: {text}" for text in events)
        visit.close()
    return problems


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_page_is_readable_at_every_width_and_in_both_modes(kind: str, pages: dict[str, Path], browser: Any) -> None:
    problems = problems_of(browser, pages[kind])
    failed = {name: texts for name, texts in problems.items() if texts}
    assert set(problems) >= {"scroll", "overlaps", "alternatives", "markup", "axe", "console", "requests"}
    assert {name: texts[:8] for name, texts in failed.items()} == {}


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_page_is_complete_without_javascript(kind: str, pages: dict[str, Path], browser: Any) -> None:
    with_script, without = (Visit(browser, pages[kind], "light", script=script) for script in (True, False))
    texts = set(without.check("texts"))
    assert set(with_script.check("texts")) - {""} <= texts
    assert without.check("overlaps") == []
    with_script.close()
    without.close()


def test_runs_can_be_filtered_and_sorted(pages: dict[str, Path], browser: Any) -> None:
    visit = Visit(browser, pages["index"], "light")
    rows = visit.page.locator("tbody tr")
    everything = rows.count()
    visit.page.get_by_role("searchbox").fill("SEARCH")
    assert everything == len(COMMANDS) and rows.filter(visible=True).count() == 1
    visit.page.get_by_role("searchbox").fill("")
    visit.page.get_by_role("button", name="run").first.click()
    names = rows.locator("td:first-child").all_inner_texts()
    assert rows.filter(visible=True).count() == everything and names == sorted(names)
    visit.close()


def test_cards_are_sorted_by_a_list_on_a_phone(pages: dict[str, Path], browser: Any) -> None:
    visit = Visit(browser, pages["index"], "light")
    chooser, names = visit.page.get_by_label("Sort the rows"), visit.page.locator("tbody td:first-child")
    visit.resize(1440)
    assert not chooser.is_visible()
    visit.resize(390)
    chooser.select_option(label="run ↓")
    assert names.all_inner_texts() == sorted(names.all_inner_texts(), reverse=True)
    chooser.select_option(label="run ↑")
    assert names.all_inner_texts() == sorted(names.all_inner_texts()) and len(COMMANDS) == names.count()
    visit.close()


def test_an_image_of_an_audit_is_enlarged_with_the_keyboard(pages: dict[str, Path], browser: Any) -> None:
    visit = Visit(browser, pages["audit"], "light", script=False)
    visit.page.evaluate("for (const details of document.querySelectorAll('details')) details.open = false")
    image = visit.page.locator(".zoom img").first
    before = image.bounding_box()["width"]
    visit.page.locator(".zoom summary").first.press("Enter")
    assert image.bounding_box()["width"] > 2 * before
    visit.page.locator(".zoom summary").first.press("Enter")
    assert image.bounding_box()["width"] == before and visit.events["requests"] == []
    visit.close()


def test_the_opacity_of_maps_follows_the_slider(pages: dict[str, Path], browser: Any) -> None:
    visit = Visit(browser, pages["explain"], "light")
    slider = visit.page.get_by_role("slider", name="Opacity of the maps")
    slider.press("Home")
    layers = visit.page.locator(".layer")
    opacities = [layers.nth(place).get_attribute("opacity") for place in range(layers.count())]
    assert opacities and set(opacities) == {"0"}
    slider.press("End")
    assert layers.first.get_attribute("opacity") == "1"
    visit.close()


def test_axe_was_installed() -> None:
    if AXE is None:
        pytest.skip("axe did not check the pages: it needs axe-playwright-python")


def test_the_checks_find_planted_problems(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "planted.html").write_text(PLANTED)
    visit = Visit(browser, tmp_path / "planted.html", "light")
    visit.resize(390)
    assert visit.check("overlaps") == ['"first text" meets "second text"']
    assert [text[:24] for text in visit.check("alternatives")] == [
        "a drawing has no text al",
        "an image has no text alt",
    ]
    assert visit.check("scroll") and visit.check("markup") == ["a name has become markup"]
    assert visit.events["requests"] == ["https://example.invalid/a.png"]
    assert any("planted" in text for text in visit.events["console"])
    visit.close()


def drawn_networks() -> dict[str, NetworkSpec]:
    """The shipped recipes, the smallest and the largest network of every space, and 20 stages."""
    networks = {name: Recipe.load(name).network for name in document.shipped("recipes")}
    specs = {name: network for name, network in networks.items() if isinstance(network, NetworkSpec)}
    for name in document.shipped("search_spaces"):
        space = SearchSpace.load(name)
        specs[f"{name}, smallest"], specs[f"{name}, largest"] = (
            space.spec(space.smallest()),
            space.spec(space.largest()),
        )
    blocks = tuple(
        InvertedResidualBlock(width=16 + 8 * (place // 3), stride=2 if place % 5 == 4 else 1, expand=4, se=0.25)
        for place in range(20)
    )
    return specs | {"20 stages": NetworkSpec(input=(3, 224, 224), stages=blocks, classes=1000)}


def test_texts_of_drawings_do_not_meet(browser: Any, tmp_path: Path) -> None:
    """On a phone, a tablet and a desk."""
    networks = drawn_networks()
    drawings = [network_svg(name, network.input, spec_stages(network)) for name, network in networks.items()]
    file = tmp_path / "drawings.html"
    parts = [html.component("drawing", svg, f"network {n}") for n, svg in enumerate(drawings)]
    file.write_text(page_of("drawings", parts), encoding="utf-8")
    problems = problems_of(browser, file)
    assert len(drawings) >= 11
    assert {name: texts for name, texts in problems.items() if texts} == {}
