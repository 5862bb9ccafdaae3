"""Debian's Chromium, driven by Playwright. Tests that need it are skipped where one of the two is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)
"""Width and height of a window in pixels."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. Playwright occupies the thread's event loop, so that a test module should close it at its end."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass(eq=False)
class Tab:
    """A page of an address, and what went wrong on it: errors of its scripts, and requests to other addresses."""

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)

    def require_no_errors(self) -> None:
        """Fails the test if something went wrong."""
        assert self.errors == []


@contextmanager
def open_tab(browser: Any, address: str, *, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Iterator[Tab]:
    """A page in a window of that size; requests to other addresses are aborted and fail the test."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    tab = Tab(context.new_page(), address)

    def route(route: Any) -> None:
        if route.request.url.startswith((address.partition("#")[0], "blob:", "data:")):
            route.continue_()
        else:
            tab.errors.append(f"foreign request: {route.request.url}")
            route.abort()

    tab.page.route("**/*", route)
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.page.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
    tab.page.goto(address)
    yield tab
    context.close()


def accessibility_violations(page: Any) -> list[str]:
    """What axe objects to."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    results = axe.Axe().run(page).response
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in results["violations"]]


def pdf_pages(page: Any) -> int:
    """The number of pages that a page is printed on."""
    return len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(prefer_css_page_size=True)))
