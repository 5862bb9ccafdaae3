"""The page in a real browser: images in, probabilities and maps out, by mouse, keyboard and clipboard."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import MODES, WIDTHS, Tab, chromium, needs_browser, open_tab
from helpers.served import Client, image_bytes, serving

import lightcnn
from lightcnn.serving.job import make_api
from lightcnn.serving.settings import ServeSettings

TOKEN = "0123456789abcdef"
DROP = """([selector, kind, text]) => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], "moved.png", { type: "image/png" }));
  const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
}"""
CUT_VERDICTS = """[...document.querySelectorAll(".images ul")].filter(list =>
  list.getBoundingClientRect().bottom > list.parentElement.getBoundingClientRect().bottom).length"""
PAPER = 703
"""Width of A4 without its margins, in pixels of CSS."""

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser: Any, client: Client) -> Iterator[Tab]:
    with open_tab(browser, f"http://127.0.0.1:{client.port}/") as tab:
        yield tab


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lesion.png"
    path.write_bytes(image_bytes(5, width=200, height=120))
    return path


def test_an_image_is_predicted_and_explained(tab: Tab, file: Path, served_run: Path) -> None:
    page = tab.page
    page.set_input_files("#choose", file)
    page.wait_for_selector(".maps img")
    run = lightcnn.Run.load(served_run).predict([file])
    expected = sorted(zip(run.classes, run.probabilities[0], strict=True), key=lambda pair: -pair[1])
    assert page.locator(".bars span").all_inner_texts() == [
        text for name, share in expected for text in (name, f"{100 * share:.1f} %")
    ]
    assert run.predictions[0] in page.inner_text(".score")
    box = page.locator(".maps img").bounding_box()
    assert box["width"] > 100 and page.evaluate("document.querySelector('.maps img').naturalWidth") > 0
    verdicts = page.locator(".maps .badge").all_inner_texts()
    assert len(verdicts) >= 3 and set(verdicts) <= {"passed", "failed", "not judged"}
    for name in ("Integrated Gradients", "LIME", "Occlusion"):
        page.click(f".methods button:text-is('{name}')")
    page.wait_for_selector(".maps figure:nth-child(4)")
    tab.require_no_errors()


def test_the_page_states_what_the_network_is(tab: Tab) -> None:
    facts = tab.page.wait_for_selector("#facts dd") and tab.page.inner_text("#facts")
    for text in ("photos", "95 % interval", "false alarms on", "trained on"):
        assert text in facts
    main = tab.page.inner_text("main")
    assert "The decision is the clinician's." in main and "Not for diagnosis" in main and "STAND-IN" not in main
    tab.require_no_errors()


def test_sliders_show_both_rates_and_abstain(tab: Tab, file: Path, client: Client) -> None:
    page = tab.page
    page.set_input_files("#choose", file)
    page.wait_for_selector(".maps img")
    curve = client.ask("GET", "/model").json["operating_points"]["classes"][1]
    page.fill("#threshold", "80")
    assert page.inner_text("#sensitivity") == f"{100 * curve['sensitivity'][80]:.1f} %"
    assert page.inner_text("#specificity") == f"{100 * curve['specificity'][80]:.1f} %"
    assert "the chosen threshold 0.80" in page.inner_text(".decision")
    page.fill("#abstain", "1")
    assert page.inner_text(".score").startswith("abstained")
    tab.require_no_errors()


@pytest.mark.parametrize(("selector", "kind"), [("body", "drop"), ("body", "paste")])
def test_images_are_dropped_and_pasted(tab: Tab, selector: str, kind: str) -> None:
    tab.page.wait_for_selector("#facts dd")
    tab.page.evaluate(DROP, [selector, kind, base64.b64encode(image_bytes()).decode()])
    tab.page.wait_for_selector(".maps img")
    assert tab.page.inner_text(".result h3") == "moved.png"
    tab.require_no_errors()


def test_an_image_unlike_the_training_images_is_reported(tab: Tab, tmp_path: Path, client: Client) -> None:
    path = tmp_path / "unlike.png"
    for seed in range(50):
        path.write_bytes(image_bytes(seed, width=500, height=20))
        row = client.send("/predict", [("unlike.png", path.read_bytes())]).json["predictions"][0]
        if row["is_unlike"]:
            break
    tab.page.set_input_files("#choose", path)
    tab.page.wait_for_selector(".maps img")
    assert tab.page.is_visible(".unlike") == row["is_unlike"] is True
    assert "rate of false alarms" in tab.page.inner_text(".unlike")


def test_a_damaged_file_is_reported(browser: Any, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(image_bytes()[:100])
    with open_tab(browser, f"http://127.0.0.1:{client.port}/") as tab:
        tab.page.wait_for_selector("#facts dd")
        tab.page.set_input_files("#choose", path)
        tab.page.wait_for_selector("#status:has-text('is damaged')")
        assert tab.page.locator(".result").count() == 0
        assert all("422" in text for text in tab.events["console"])  # Chromium lists every 4xx


def test_an_inline_script_is_blocked(tab: Tab) -> None:
    tab.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    tab.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    tab.page.wait_for_timeout(200)
    assert tab.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in tab.events["console"])


def test_the_keyboard_suffices(tab: Tab, file: Path) -> None:
    page = tab.page
    page.wait_for_selector("#facts dd")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    assert page.evaluate("document.activeElement.type") == "file"  # which every browser opens by the keyboard
    page.set_input_files("#choose", file)
    page.wait_for_selector(".maps img")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == "threshold":
            page.keyboard.press("ArrowRight")
        if reached[-1] == "Layer-CAM":
            page.keyboard.press("Enter")
            break
    assert {"photograph", "abstain", "operating-class", "threshold", "reset", "Download report"} <= set(reached)
    page.wait_for_selector(".maps figure:nth-child(2)")
    tab.require_no_errors()


@pytest.mark.parametrize("mode", MODES)
def test_the_page_is_accessible_and_fits(browser: Any, client: Client, file: Path, mode: str) -> None:
    with open_tab(browser, f"http://127.0.0.1:{client.port}/", mode=mode) as tab:
        tab.page.set_input_files("#choose", file)
        tab.page.wait_for_selector(".maps img")
        for width in WIDTHS:
            tab.resize(width)
            assert tab.axe_problems() + tab.check("scroll") + tab.check("overlaps") == [], width
        tab.require_no_errors()


def test_the_report_prints_on_one_page_and_asks_for_nothing(browser: Any, tab: Tab, file: Path, tmp_path: Path) -> None:
    page = tab.page
    page.set_input_files("#choose", file)
    page.wait_for_selector(".maps img")
    for name in ("Grad-CAM++", "Layer-CAM", "Integrated Gradients", "LIME", "Occlusion"):
        page.click(f".methods button:text-is('{name}')")
    page.wait_for_selector(".maps figure:nth-child(6)")
    # The most that a report can hold: many facts, all warnings, and long texts.
    page.evaluate("""() => {
      model.stand_in = true; model.note = "assumed ".repeat(40);
      model.classes = Array(60).fill("a long name of a class");
      const [result] = results; result.prediction.is_unlike = true; result.prediction.unlikeness = 2;
      result.top = Array.from({ length: 30 }, (_, place) => [`a rather long name of a class ${place}`, 1 / 30]);
      result.maps.forEach(map => map.notes.push("a long note on this map ".repeat(20)));
    }""")
    with page.expect_download() as download:
        page.click(".report")
    report = tmp_path / "report.html"
    download.value.save_as(report)
    assert download.value.suggested_filename == "report-lesion.png.html"
    with open_tab(browser, report.as_uri(), width=PAPER) as printed:
        assert printed.page.locator(".images img").count() == 6

        assert printed.paper_pages() == 1
        assert printed.axe_problems() == []
        printed.page.emulate_media(media="print")
        assert printed.page.evaluate(CUT_VERDICTS) == 0
        assert "The decision is the clinician's." in printed.page.inner_text("main")
        printed.require_no_errors()


def test_a_token_is_asked_for_or_taken_from_the_address(browser: Any, settings: ServeSettings) -> None:
    secret = replace(settings, token=TOKEN)
    with serving(make_api(secret), secret) as client:
        address = f"http://127.0.0.1:{client.port}/"
        with open_tab(browser, address) as tab:
            tab.page.fill("#token", TOKEN)
            tab.page.keyboard.press("Enter")
            tab.page.wait_for_selector("#facts dd")
            assert tab.page.is_hidden("#sign-in")
        with open_tab(browser, f"{address}#token={TOKEN}") as tab:
            tab.page.wait_for_selector("#facts dd")
            tab.require_no_errors()
