"""Pages in tests: what is allowed in them, and their text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from markupsafe import Markup

from lightcnn.output.html import PACKAGE, TEMPLATES, templates

PARTS = f'{{% extends "{TEMPLATES}/page.html" %}}{{% block main %}}{{{{ parts }}}}{{% endblock %}}'


def page_of(title: str, parts: Sequence[str]) -> str:
    """A page of parts, one below the other."""
    return templates().from_string(PARTS).render(title=title, parts=Markup("\n").join(parts))


def read_page(content: bytes | str) -> str:
    """The text of a page, unescaped, after the checks that hold for every page: one script, no style, no address."""
    page = content if isinstance(content, str) else content.decode()
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert len(policy) == 1 and policy[0].startswith("default-src 'none'; form-action 'none'; base-uri 'none'")
    assert re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL) == [
        (PACKAGE / TEMPLATES / "page.js").read_text(encoding="utf-8")
    ]
    assert page.count("<script") == page.count("<style") == 1 and " style=" not in page
    body = page.partition("</style>")[2].partition("<script>")[0]
    assert "http:" not in body and "https:" not in body and "\x1b" not in body
    return html.unescape(re.sub("</?span>", "", body))  # each word of a command is in one
