"""report.html: a single file that opens offline. It loads nothing, and all text is escaped.

Each command has a template that extends `templates/page.html` and uses the components of `templates/components.html`.
A page runs the script `page.js`, which is part of lightcnn; the hashes in its policy allow no other script or style.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lightcnn.text import visible
from lightcnn.version import __version__

PACKAGE = Path(__file__).parents[1]
"""The folder of lightcnn; names of templates are relative to it, such as `searching/page.html`."""
TEMPLATES = "output/templates"
WIDTH = re.compile(r'width="(\d+)"')
"""The width of a drawing in pixels, which is the first in its text."""


@dataclass(frozen=True)
class NumberCell:
    """A cell that shows a text in place of a number; tables are sorted by the number."""

    text: str
    value: float | int


def render(template: str, title: str, context: Mapping[str, Any]) -> bytes:
    """A page of a template below the folder of lightcnn, in UTF-8. `context` has the values of its variables."""
    return templates().get_template(template).render({**context, "title": title}).encode()


@cache
def templates() -> Environment:
    """The templates of all pages, with their only style and their only script."""
    environment = Environment(
        loader=FileSystemLoader(PACKAGE), autoescape=True, undefined=StrictUndefined, finalize=_printable,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = ((PACKAGE / TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    environment.globals |= {
        "style": Markup(style), "script": Markup(script), "policy": _policy(style, script), "version": __version__,
    }  # fmt: skip
    environment.filters |= {
        "base64": lambda content: base64.b64encode(content).decode(),
        "cell_text": _cell_text,
        "natural_width": lambda svg: int(WIDTH.findall(svg)[0]),
        "percent": lambda fraction: f"{fraction:.2%}",
        "share": lambda fraction: f"{fraction:.2%}",
        "sort_key": lambda cell: repr(float(cell.value if isinstance(cell, NumberCell) else cell)),
    }
    environment.tests["number_cell"] = lambda value: isinstance(value, NumberCell)
    return environment


def _policy(style: str, script: str) -> Markup:
    """The Content-Security-Policy: images in the page, this style and this script, and nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    sources = "style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)
    return Markup(f"default-src 'none'; form-action 'none'; base-uri 'none'; img-src data:; {sources}")


def _printable(value: Any) -> Any:
    """A value of a template with unprintable characters escaped; line breaks are kept."""
    return value if isinstance(value, Markup) else visible(str(value), keep="\n\t")


def _cell_text(value: Any) -> str:
    """A value in a table: numbers with four decimals or separators of thousands."""
    if isinstance(value, NumberCell):
        return value.text
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def component(name: str, *arguments: Any) -> Markup:
    """A component of `components.html`, as HTML."""
    components = templates().get_template(f"{TEMPLATES}/components.html").module
    return Markup(getattr(components, name)(*arguments))


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph; `kind` is empty, big, note or alarm."""
    return component("paragraph", text, kind)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str = "",
    sortable: bool = False,
    filterable: bool = False,
) -> Markup:
    """A table that scrolls if it is wider than the page; numbers are right-aligned.

    With `sortable`, a click on a header sorts it; with `filterable`, a field above it filters its rows.
    """
    kinds = {"sortable": sortable, "filterable": filterable}
    return component("table", header, rows, caption, " ".join(kind for kind, wanted in kinds.items() if wanted))


def figure(png: bytes, caption: str) -> Markup:
    """A PNG file as a figure with a caption."""
    return component("figure", png, caption)
