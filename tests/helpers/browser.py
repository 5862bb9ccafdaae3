"""Debian's Chromium, driven by Playwright: pages that are opened, and what went wrong on them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHECKS = (ROOT / "tests" / "output" / "page_checks.js").read_text(encoding="utf-8")
WIDTHS = (390, 768, 1440)
"""Widths of a phone, a tablet and a desk in pixels."""
HEIGHT = 900
TIMEOUT = 60_000
"""Milliseconds that a state of a page may take, since other work may run at the same time."""
MODES = ("light", "dark")

axe_package = find_spec("axe_playwright_python")
AXE = axe_package and axe_package.origin
"""A file next to axe.min.js, which this package contains; None if it is not installed."""
needs_browser = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="needs Playwright: pip install playwright"),
]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. Playwright occupies the thread's event loop, so that a test module should close it at its end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A page that was opened: what its scripts reported, and its requests to other addresses, which are aborted."""

    def __init__(
        self, browser: Any, address: str, *, width: int = WIDTHS[-1], mode: str = "light", script: bool = True
    ) -> None:
        self.address = address.partition("#")[0]
        self.events: dict[str, list[str]] = {"console": [], "requests": []}
        context = browser.new_context(
            color_scheme=mode, java_script_enabled=script, viewport={"width": width, "height": HEIGHT}
        )
        self.page = context.new_page()
        self.page.route("**/*", self._route)
        self.page.on("console", lambda message: self._note(message.text, message.type != "log"))
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("filechooser", lambda chooser: None)  # so that Chromium reports such dialogs, and shows none
        self.page.set_default_timeout(TIMEOUT)
        self.page.on("dialog", lambda dialog: self._note(f"dialog {dialog.message}"))
        self.page.goto(address)

    def _route(self, route: Any) -> None:
        """Follows a request to the address of the page, and aborts and notes all others."""
        if route.request.url.startswith((self.address, "blob:", "data:")):
            route.continue_()
        else:
            self.events["requests"].append(route.request.url)
            route.abort()

    def _note(self, text: str, counts: bool = True) -> None:
        if counts:
            self.events["console"].append(text)

    def require_no_errors(self) -> None:
        """Fails the test if a script reported something, or the page asked another address."""
        assert self.events == {"console": [], "requests": []}

    def check(self, name: str) -> list[str]:
        """The problems that a function of page_checks.js returns."""
        problems: list[str] = self.page.evaluate(f"{CHECKS.strip()}.{name}()")
        return problems

    def axe_problems(self, *rules: str) -> list[str]:
        """What axe finds by these rules or all: the rule, and the first element that breaks it.

        Skips if axe is not installed.
        """
        if AXE is None:
            pytest.skip("needs axe: pip install axe-playwright-python")
        self.page.evaluate(Path(AXE).with_name("axe.min.js").read_text(encoding="utf-8"))
        chosen = {"runOnly": list(rules)} if rules else {}
        violations = self.page.evaluate("rules => axe.run(rules).then(result => result.violations)", chosen)
        return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in violations]

    def paper_pages(self) -> int:
        """The number of sheets on which the page is printed."""
        return len(re.findall(rb"/Type\s*/Page[^s]", self.page.pdf(prefer_css_page_size=True)))

    def resize(self, width: int) -> None:
        """Makes the window so many pixels wide."""
        self.page.set_viewport_size({"width": width, "height": HEIGHT})

    def close(self) -> None:
        """Closes the page."""
        self.page.context.close()


@contextmanager
def open_tab(browser: Any, address: str, *, width: int = WIDTHS[-1], mode: str = "light") -> Iterator[Tab]:
    """A page that is closed at the end of the block."""
    tab = Tab(browser, address, width=width, mode=mode)
    try:
        yield tab
    finally:
        tab.close()
