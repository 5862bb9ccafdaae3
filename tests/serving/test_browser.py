"""The page in a real browser: images in, probabilities and maps out, by mouse, keyboard and clipboard."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browser import MODES, WIDTHS, Tab, chromium, needs_browser, open_tab
from helpers.exported_files import SIZE, trained_network, write_exported
from helpers.served import Client, image_bytes, serving
from PIL import Image

import lightcnn
from lightcnn.serving.explainers.explanations import Report
from lightcnn.serving.job import make_api
from lightcnn.serving.settings import Limits, ServeSettings
from lightcnn.serving.uploads import Upload

LIMITS = Limits(requests_per_second=10_000)
TOKEN = "0123456789abcdef"
COPY = """async text => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
}"""
FOCUSED = "document.activeElement.id || document.activeElement.textContent"
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


@pytest.fixture
def files(file: Path) -> list[Path]:
    """Two images like the training images, and one that is not."""
    other, unlike = file.with_name("other.png"), file.with_name("unlike.png")
    other.write_bytes(image_bytes(6, width=120, height=200))
    unlike.write_bytes(image_bytes(0, width=500, height=20))
    return [file, other, unlike]


def test_an_image_is_predicted_and_explained(tab: Tab, file: Path, served_run: Path) -> None:
    page = tab.page
    page.set_input_files("#choose", file)
    page.wait_for_selector(".maps img")
    run = lightcnn.Run.load(served_run).predict([file])
    expected = sorted(zip(run.classes, run.probabilities[0], strict=True), key=lambda pair: -pair[1])
    assert page.locator(".bars span").all_inner_texts() == [
        text for name, share in expected for text in (name, f"{100 * share:.1f}\u00a0%")
    ]
    assert run.predictions[0] in page.inner_text(".score")
    box = page.locator(".maps img").bounding_box()
    assert box["width"] > 100 and page.evaluate("document.querySelector('.maps img').naturalWidth") > 0
    verdicts = page.locator(".maps .badge").all_inner_texts()
    assert len(verdicts) >= 3 and set(verdicts) <= {"passed", "failed", "not judged"}
    for name in ("Integrated Gradients", "LIME", "Occlusion"):
        page.click(f".methods button:text-is('{name}')")
    page.wait_for_selector(".maps figure:nth-child(4)")
    for figure in page.locator(".maps figure").all():
        assert figure.locator(".badge").count() >= 3, figure.inner_text()
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
    assert page.inner_text("#sensitivity") == f"{100 * curve['sensitivity'][80]:.1f}\u00a0%"
    assert page.inner_text("#specificity") == f"{100 * curve['specificity'][80]:.1f}\u00a0%"
    assert "the chosen threshold 0.80" in page.inner_text(".decision")
    page.fill("#abstain", "1")
    assert page.inner_text(".score").startswith("abstained")
    tab.require_no_errors()


def test_a_chosen_threshold_stays_when_another_image_comes(tab: Tab, files: list[Path]) -> None:
    page = tab.page
    page.set_input_files("#choose", files[0])
    page.wait_for_selector(".maps img")
    page.fill("#threshold", "30")
    page.set_input_files("#choose", files[1])
    page.wait_for_selector(".result:nth-child(2)")
    assert page.inner_text("#threshold-value") == "0.30"
    for decision in page.locator(".decision").all_inner_texts():
        assert "the chosen threshold 0.30" in decision


@pytest.mark.parametrize("field", ["#choose", "#photograph"])
def test_images_are_chosen(tab: Tab, field: str, files: list[Path]) -> None:
    several = tab.page.get_attribute(field, "multiple") is not None
    tab.page.set_input_files(field, files if several else files[:1])
    require_results(tab, [file.name for file in (files if several else files[:1])])


def test_images_chosen_before_the_network_is_known_are_predicted(tab: Tab, files: list[Path]) -> None:
    waiting: list[Any] = []
    tab.page.route("**/model", lambda route: waiting.append(route))
    with tab.page.expect_request("**/model"):
        tab.page.reload()
    tab.page.set_input_files("#choose", files)
    assert tab.page.locator("#facts dd").count() == 0
    tab.page.unroute("**/model")
    waiting.pop().continue_()
    require_results(tab, [file.name for file in files])


def test_images_are_dropped(tab: Tab, files: list[Path]) -> None:
    tab.page.wait_for_selector("#facts dd")
    devtools = tab.page.context.new_cdp_session(tab.page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 200, "data": data})
    require_results(tab, [file.name for file in files])


def test_an_image_is_pasted(tab: Tab) -> None:
    tab.page.wait_for_selector("#facts dd")
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.evaluate(COPY, base64.b64encode(image_bytes()).decode())
    tab.page.keyboard.press("Control+V")
    require_results(tab, ["image.png"])


def require_results(tab: Tab, names: list[str]) -> None:
    """Waits until all images are predicted and explained; the newest is the first."""
    tab.page.wait_for_selector(f".result:nth-child({len(names)}) .maps img")
    assert tab.page.locator(".result h3").all_inner_texts() == names[::-1]
    assert tab.page.inner_text("#status").startswith(f"{names[-1]}: ")
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


def test_files_that_cannot_be_predicted_are_all_reported(tab: Tab, file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(image_bytes()[:100])
    (tmp_path / "notes.txt").write_text("notes")
    tab.page.wait_for_selector("#facts dd")
    tab.page.set_input_files("#choose", [tmp_path / "cut.png", tmp_path / "notes.txt", file])
    tab.page.wait_for_selector("#status :nth-child(3):has-text('%')")
    first, second, _ = tab.page.locator("#status span").all_inner_texts()
    assert "cut.png: is damaged" in first and "notes.txt: has the content type text/plain" in second
    assert tab.page.locator(".result").count() == 1
    assert all("422" in text or "415" in text for text in tab.events["console"])  # Chromium lists every 4xx


def test_progress_is_visible_until_the_map_is(browser: Any, settings: ServeSettings, file: Path) -> None:
    api, released = make_api(settings), threading.Event()
    explain = api.explanations.explainer.explain

    def slow(upload: Upload, method: str, target: int | None, report: Report) -> dict[str, Any]:
        if method == "lime":
            report(23)
            released.wait(60)
        return explain(upload, method, target, report)

    api.explanations.explainer.explain = slow  # type: ignore[method-assign]
    with serving(api, settings) as client, open_tab(browser, f"http://127.0.0.1:{client.port}/") as tab:
        page = tab.page
        page.set_input_files("#choose", file)
        page.wait_for_selector(".running:has-text('Grad-CAM is shown')")
        page.click(".methods button:text-is('LIME')")
        page.wait_for_selector(".running:has-text('LIME: 23 of about 2300 images went through the network')")
        bar = page.locator(".through")
        assert bar.is_visible() and bar.evaluate("bar => bar.value / bar.max") == 0.01
        page.click(".methods button:text-is('Occlusion')")  # which waits for LIME
        released.set()
        page.wait_for_selector(".maps figure:nth-child(3)")
        bar.wait_for(state="hidden")
        assert page.locator(".maps figcaption b").all_inner_texts() == ["Grad-CAM", "LIME", "Occlusion"]
        tab.require_no_errors()


@pytest.mark.parametrize(
    "injection",
    [
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')",
        "document.body.insertAdjacentHTML('beforeend', '<img src=https://example.invalid/x>')",
        "fetch('https://example.invalid/').catch(() => 0)",
    ],
)
def test_injected_scripts_and_foreign_requests_are_blocked(tab: Tab, injection: str) -> None:
    """The policy blocks them, and `require_no_errors` notices it, so that they would fail any test of this module."""
    with tab.page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        tab.page.evaluate(injection)
    assert tab.page.evaluate("window.ran") is None and tab.events["requests"] == []
    with pytest.raises(AssertionError):
        tab.require_no_errors()


def test_the_keyboard_suffices(tab: Tab, file: Path) -> None:
    """A file is chosen, predicted at another threshold, explained by another method, and its report downloaded."""
    page = tab.page
    page.wait_for_selector("#facts dd")
    press_tab_until(page, "choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    page.wait_for_selector(".maps img")
    assert page.evaluate(FOCUSED) == "choose"
    reached = press_tab_until(page, "threshold")
    threshold = float(page.inner_text("#threshold-value"))
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f".decision:has-text('the chosen threshold {threshold + 0.01:.2f}')")
    reached += press_tab_until(page, "Layer-CAM")
    assert {"photograph", "abstain", "operating-class", "reset", "Download report"} <= set(reached)
    page.keyboard.press("Enter")
    page.wait_for_selector(".maps figure:nth-child(2)")
    assert page.evaluate(FOCUSED) == "Layer-CAM"
    press_tab_until(page, "Download report", key="Shift+Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert "Layer-CAM" in Path(download.value.path()).read_text(encoding="utf-8")
    tab.require_no_errors()


def press_tab_until(page: Any, name: str, *, key: str = "Tab") -> list[str]:
    """Presses a key until the element with that id or text has the focus; returns what had it."""
    reached: list[str] = []
    while name not in reached:
        assert len(reached) < 30, f"the keyboard does not reach {name}: {reached}"
        page.keyboard.press(key)
        reached.append(page.evaluate(FOCUSED))
    return reached


@pytest.mark.parametrize("mode", MODES)
def test_the_page_is_accessible_and_fits(browser: Any, client: Client, file: Path, mode: str) -> None:
    with open_tab(browser, f"http://127.0.0.1:{client.port}/", mode=mode) as tab:
        tab.page.set_input_files("#choose", file)
        tab.page.wait_for_selector(".maps img")
        for width in WIDTHS:
            tab.resize(width)
            assert tab.check("scroll") + tab.check("overlaps") == [], width
        assert tab.axe_problems() == [], "its rules do not depend on the width"
        tab.require_no_errors()


def test_the_report_of_a_run_is_one_sheet_with_all_maps(browser: Any, tab: Tab, file: Path, tmp_path: Path) -> None:
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
      result.top = Array.from({ length: 30 }, (_, place) => [`${"a long name ".repeat(9)} ${place}`, 1 / 30]);
      result.maps.forEach(map => map.notes.push("a long note on this map ".repeat(20)));
    }""")
    report = downloaded_report(tab, tmp_path)
    assert report.name == "report-lesion.png.html"
    with printed(browser, report) as text:
        assert "The decision is the clinician's." in text and "Occlusion does not fit" in text


def downloaded_report(tab: Tab, folder: Path, *, place: int = 0) -> Path:
    """The report of a result, as the browser saves it."""
    with tab.page.expect_download() as download:
        tab.page.locator(".report").nth(place).click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


@contextmanager
def printed(browser: Any, report: Path) -> Iterator[str]:
    """The text of a report, which is on one sheet, accessible, and requests nothing."""
    with open_tab(browser, report.as_uri(), width=PAPER) as sheet:
        assert sheet.paper_pages() == 1
        assert sheet.axe_problems() == []
        yield sheet.page.inner_text("body")
        sheet.require_no_errors()


@pytest.fixture(scope="module")
def file_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of an exported file with 40 classes of long names."""
    network = trained_network(classes=40)
    names = tuple(f"class {number} with a name of {'very ' * 20}many letters" for number in range(40))
    network = replace(network, preprocess=network.preprocess.model_copy(update={"classes": names}))
    data, accuracy = {"source": "/a/lesions", "stand_in": True}, {"value": 0.9, "low": 0.8, "high": 0.95}
    path = tmp_path_factory.mktemp("file") / "model.onnx"
    write_exported(path, network, data=data, accuracy=accuracy)
    settings = ServeSettings(path, limits=LIMITS)
    with serving(make_api(settings), settings) as client:
        yield client


@pytest.mark.parametrize("mode", MODES)
def test_the_page_of_a_file_shows_what_it_states(browser: Any, file_client: Client, file: Path, mode: str) -> None:
    with open_tab(browser, f"http://127.0.0.1:{file_client.port}/", mode=mode, width=WIDTHS[0]) as tab:
        page = tab.page
        page.set_input_files("#choose", file)
        page.click(".methods button:text-is('LIME')")
        page.wait_for_selector(".maps img")
        assert page.is_visible("#stand-in") and page.is_hidden("#operating")
        facts = page.inner_text("#facts")
        assert "lesions (STAND-IN" in facts and "80.0\u00a0% to 95.0\u00a0%" in facts
        assert page.locator(".methods button").all_inner_texts() == ["LIME", "Occlusion"]
        assert tab.axe_problems() + tab.check("scroll") + tab.check("overlaps") == []
        tab.require_no_errors()


def test_each_of_several_images_has_a_report_on_one_sheet(browser: Any, file_client: Client, tmp_path: Path) -> None:
    """With 40 classes of long names and abstention, of an image like the training images and one unlike them."""
    noise = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    files = [tmp_path / "noise.png", tmp_path / f"{'unlike' * 30}.png"]
    for file, pixels in zip(files, (noise, np.full_like(noise, 255)), strict=True):
        Image.fromarray(pixels).save(file)
    with open_tab(browser, f"http://127.0.0.1:{file_client.port}/") as tab:
        page = tab.page
        page.set_input_files("#choose", files)
        page.wait_for_selector(".result:nth-child(2) .methods button")
        page.fill("#abstain", "1")
        for place, file in enumerate(reversed(files)):
            result = page.locator(".result").nth(place)
            for method in ("LIME", "Occlusion"):
                result.locator(f".methods button:text-is('{method}')").click()
            result.locator(".maps figure:nth-child(2)").wait_for()
            with printed(browser, downloaded_report(tab, tmp_path, place=place)) as text:
                assert file.name[:100] in text and "No class: the highest probability is below 1.00: abstained" in text
                assert "STAND-IN" in text
                assert ("unlike the training images (score" in text) == file.name.startswith("unlike")
        tab.require_no_errors()


def test_a_token_is_asked_for_or_taken_from_the_address(browser: Any, settings: ServeSettings) -> None:
    secret = replace(settings, token=TOKEN)
    with serving(make_api(secret), secret) as client:
        address = f"http://127.0.0.1:{client.port}/"
        with open_tab(browser, address) as tab:
            tab.page.wait_for_selector("#sign-in", state="visible")
            assert tab.page.inner_text("#status") == ""
            tab.page.fill("#token", TOKEN[:-1])
            tab.page.keyboard.press("Enter")
            tab.page.wait_for_selector("#status:has-text('This token is wrong.')")
            tab.page.fill("#token", TOKEN)
            tab.page.keyboard.press("Enter")
            tab.page.wait_for_selector("#facts dd")
            assert tab.page.is_hidden("#sign-in")
        with open_tab(browser, f"{address}#token={TOKEN}") as tab:
            tab.page.wait_for_selector("#facts dd")
            tab.require_no_errors()
