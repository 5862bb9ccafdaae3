"""Pages: at most one script, allowed by its hash; sortable tables; figures with hotspots."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lightcnn.output import html

ROWS = [
    ("b", html.NumberCell("2k", 2000), 7),
    ("a", html.NumberCell("~10", 10), 8),
    ("c", "", 9),
    ("<i>", html.NumberCell("300", 300), 1),
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def sorted_page(script: str = "") -> str:
    table = html.table(("name", "cost", "count"), ROWS, sortable=True)
    return html.page("t", [table], html.SORT).decode().replace("</body>", f"{script}</body>")


def test_the_policy_allows_only_the_script_of_the_page() -> None:
    page = sorted_page()
    (allowed,) = re.findall(r"script-src 'sha256-([^']+)'", page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in page and "unsafe-inline'; script-src" in page


def test_a_page_without_a_script_allows_none() -> None:
    page = html.page("t", [html.table(("n",), [(1,)])]).decode()
    assert "<script" not in page and "script-src" not in page and "data-value" not in page


def test_cells_contain_their_numbers() -> None:
    page = sorted_page()
    assert '<td class="number" data-value="2000.0">2k</td>' in page
    assert '<td class="number" data-value="7.0">7</td>' in page
    assert "<td>&lt;i&gt;</td>" in page


def test_spots_are_escaped_and_placed() -> None:
    spot = html.Spot(0.25, 0.5, 0.1, 0.125, 'a"b<c>')
    page = html.figure(b"png", "what", [spot])
    assert 'aria-label="a&quot;b&lt;c&gt;"' in page and 'tabindex="0"' in page
    assert "left:25.00%;top:50.00%;width:10.00%;height:12.50%" in page
    assert "spot" not in html.figure(b"png", "what")


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
    page = html.page("title", []).decode()
    assert "form-action 'none'; base-uri 'none'" in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_sortable_tables_use_the_window_and_pages_have_a_dark_mode_with_figures_on_white():
    page = html.page("a", [html.table(("x",), [(1,)], sortable=True), html.table(("y",), [(2,)])]).decode()
    assert page.count('<div class="wide sortable">') == page.count('<div class="wide">') == 1
    assert "max-width: calc(100vw - 3rem)" in page
    dark = page.partition("@media (prefers-color-scheme: dark)")[2]
    assert "background: #16181c; color: #e6e6e6" in dark
    assert "img { max-width: 100%; background: #fff }" in page, "text in transparent figures is dark"
