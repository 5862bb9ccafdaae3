"""Pages: at most one script, allowed by its hash; sortable tables; figures."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from pathlib import Path

import pytest
from helpers.browser import CHROMIUM
from helpers.pages import page_of
from jinja2 import UndefinedError

from lightcnn.output import html

ROWS = [
    ("b", html.NumberCell("2k", 2000), 7),
    ("a", html.NumberCell("~10", 10), 8),
    ("c", "", 9),
    ("<i>", html.NumberCell("300", 300), 1),
]


def sorted_page(script: str = "") -> str:
    table = html.table(("name", "cost", "count"), ROWS, sortable=True)
    return page_of("t", [table]).replace("</body>", f"{script}</body>")


@pytest.mark.parametrize(("element", "source"), [("style", "style-src"), ("script", "script-src")])
def test_the_policy_allows_only_the_style_and_the_script_of_the_page(element: str, source: str) -> None:
    page = sorted_page()
    (allowed,) = re.findall(rf"{source} 'sha256-([^']+)'", page)
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page, flags=re.DOTALL)
    assert base64.b64decode(allowed) == hashlib.sha256(content.encode()).digest()
    assert "default-src 'none'" in page and "unsafe-inline" not in page


def test_text_that_is_not_a_component_is_escaped() -> None:
    page = page_of("a<b", ["<script>x</script>", html.paragraph('<i>\x1b"', "note")])
    assert "&lt;script&gt;x&lt;/script&gt;" in page and "<title>a&lt;b</title>" in page
    assert '<p class="note">&lt;i&gt;\\x1b&#34;</p>' in page


def test_a_variable_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="is undefined"):
        html.render("training/report/page.html", "t", {})


def test_cells_contain_their_numbers() -> None:
    page = sorted_page()
    assert '<td class="number" data-value="2000.0">2k</td>' in page
    assert '<td class="number" data-value="7.0">7</td>' in page
    assert "<td>&lt;i&gt;</td>" in page


def test_captions_of_figures_are_escaped() -> None:
    page = html.figure(b"png", 'a"b<c>')
    assert 'alt="a&#34;b&lt;c&gt;"' in page and "<figcaption>a&#34;b&lt;c&gt;</figcaption>" in page


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(
    ("clicks", "names", "order"),
    [([1], "a,<i>,b,c", "ascending"), ([1, 1], "b,<i>,a,c", "descending"), ([1, 0], "<i>,a,b,c", "ascending")],
)
def test_a_click_on_a_header_sorts(clicks: list[int], names: str, order: str, tmp_path: Path) -> None:
    """The click is made by a second script, which the policy allows only in this test."""
    script = "".join(f"document.querySelectorAll('th button')[{column}].click();" for column in clicks)
    script += "document.title = [...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent).join();"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = sorted_page(f"<script>{script}</script>").replace("script-src ", f"script-src 'sha256-{digest}' ")
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    process = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr[-500:]
    (title,) = re.findall(r"<title>(.*?)</title>", process.stdout)
    assert title.replace("&lt;", "<").replace("&gt;", ">") == names
    assert re.findall(r'aria-sort="(\w+)"', process.stdout.split("</style>")[1]) == [order]


def test_a_page_sends_no_form_keeps_its_base_and_fits_a_small_screen():
    page = page_of("title", [])
    assert "form-action 'none'; base-uri 'none'" in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_pages_have_a_dark_mode_a_print_style_and_no_inline_style():
    page = page_of("a", [html.table(("x",), [(1,)], sortable=True), html.table(("y",), [(2,)])])
    assert page.count('<table class="sortable">') == page.count("<table>") == 1
    assert "@media (prefers-color-scheme: dark)" in page and "@media print" in page and "style=" not in page
