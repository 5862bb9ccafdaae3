"""report.html: a single file that opens offline. It loads nothing, and all untrusted text is escaped.

A page runs at most one script, which is part of lightcnn; its SHA-256 in the page's policy allows no other.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lightcnn.text import visible

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.wide { overflow-x: auto; margin: .6rem 0 }
@media (min-width: 62rem) { .wide.sortable { width: max-content; min-width: 100%; max-width: calc(100vw - 3rem);
  position: relative; left: 50%; transform: translateX(-50%) } }
table { border-collapse: collapse }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #ddd }
td.number { text-align: right; font-variant-numeric: tabular-nums } .big { font-size: 2rem; font-weight: 600 }
.alarm { background: #b00020; color: #fff; font-size: 1.2rem; font-weight: 600; padding: .8rem 1rem }
.note { background: #fff4d6; border-left: 4px solid #d55e00; padding: .5rem 1rem }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
img { max-width: 100%; background: #fff } figure { margin: 1rem 0 } figcaption { color: #555 }
.row { display: flex; flex-wrap: wrap; gap: .6rem; padding: .6rem 0; border-bottom: 1px solid #ddd }
.row figure { margin: 0; width: 6.6rem; font-size: .72rem; line-height: 1.3; overflow-wrap: anywhere }
.row img { border: 3px solid transparent; display: block } .row .framed img { border-color: #d55e00 }
.hotspots { position: relative; display: inline-block } .hotspots img { display: block } .spot { position: absolute }
.spot:hover, .spot:focus { outline: 2px solid #1a1a1a; border-radius: 3px; z-index: 1 }
.spot:hover::after, .spot:focus::after { content: attr(aria-label); position: absolute; left: 0; top: 100%;
  width: max-content; max-width: 20rem; background: #1a1a1a; color: #fff; font-size: .8rem; padding: .15rem .5rem }
.spot.right:hover::after, .spot.right:focus::after { left: auto; right: 0 }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; text-align: left }
th button::after { content: " ↕"; color: #888 } th[aria-sort=ascending] button::after { content: " ↑"; color: inherit }
th[aria-sort=descending] button::after { content: " ↓"; color: inherit }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #e6e6e6 } figcaption { color: #aaa } pre { background: #23262b }
  td, th, .row { border-color: #3a3e45 } .note { background: #3a2f16; border-color: #e69f00 }
}
"""
SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const order = (first, second) => {
        const [a, b] = [first, second].map(row => row.cells[column]);
        const [x, y] = [a, b].map(cell => cell.textContent.trim());
        if (!x || !y) return !x - !y;
        const numbers = "value" in a.dataset && "value" in b.dataset;
        return direction * (numbers ? a.dataset.value - b.dataset.value : x.localeCompare(y));
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
"""
"""A script that turns the headers of sortable tables into buttons. Numbers sort by value; empty cells are last."""

FILTER = """
for (const table of document.querySelectorAll("table.filterable")) {
  const field = Object.assign(document.createElement("input"), {type: "search", placeholder: "Filter"});
  field.setAttribute("aria-label", "Filter the rows");
  table.parentElement.before(field);
  field.addEventListener("input", () => {
    const text = field.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(text);
  });
}
"""
"""A script that puts a field above filterable tables, which then show only the rows that contain its text."""


@dataclass(frozen=True)
class Spot:
    """A rectangle in a figure, in fractions of its width and height, that shows a text under the pointer."""

    left: float
    top: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class NumberCell:
    """A cell that shows a text in place of a number; tables are sorted by the number."""

    text: str
    value: float | int


def page(title: str, parts: Sequence[str], script: str = "") -> bytes:
    """A page of HTML parts, in UTF-8. The browser runs only `script`, if any."""
    policy = "default-src 'none'; form-action 'none'; base-uri 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        parts = [*parts, f"<script>{script}</script>"]
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head><body>'
    )
    return (head + f"<h1>{escape(title)}</h1>" + "\n".join(parts) + "</body></html>\n").encode()


def heading(text: str) -> str:
    """The heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is empty, big, note or alarm."""
    return f'<p class="{kind}">{escape(text)}</p>'


def code(text: str) -> str:
    """Text in a fixed-width font, with its line breaks."""
    return f"<pre>{escape(text)}</pre>"


def table(
    header: Sequence[str], rows: Sequence[Sequence[Any]], *, sortable: bool = False, filterable: bool = False
) -> str:
    """A table that scrolls if it is wider than the page; numbers are right-aligned.

    With `sortable`, a click on a header sorts it, on a page with the script `SORT`; with `filterable` too, a field
    above it filters its rows, with the script `FILTER`.
    """
    kind, wide = (' class="sortable"', "wide sortable") if sortable else ("", "wide")
    kind = ' class="sortable filterable"' if filterable else kind
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(_cell(value, sortable) for value in row) + "</tr>" for row in rows)
    return f'<div class="{wide}"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs(values: Mapping[str, Any]) -> str:
    """A two-column table of names and values."""
    return table(("", ""), list(values.items()))


def figure(png: bytes, caption: str, spots: Sequence[Spot] = ()) -> str:
    """A PNG file as a figure with a caption; each spot shows its text under the pointer or the keyboard focus."""
    source = base64.b64encode(png).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{source}">'
    if spots:
        image = f'<div class="hotspots">{image}{"".join(map(_spot, spots))}</div>'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def drawing(svg: str, caption: str) -> str:
    """An SVG element of lightcnn as a figure with a caption; it scrolls if it is wider than the page."""
    box = f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">{svg}</div>'
    return f"<figure>{box}<figcaption>{escape(caption)}</figcaption></figure>"


def thumbnail(jpeg: bytes, title: str, lines: Sequence[str], *, framed: bool = False) -> str:
    """A small image with its title and lines of text below it, optionally in a coloured frame."""
    source = base64.b64encode(jpeg).decode()
    text = "<br>".join((f"<b>{escape(title)}</b>", *(escape(line) for line in lines if line)))
    frame = ' class="framed"' if framed else ""
    return f'<figure{frame}><img alt="" src="data:image/jpeg;base64,{source}"><figcaption>{text}</figcaption></figure>'


def row(thumbnails: Sequence[str], note: str = "") -> str:
    """A row of thumbnails, and a note after them."""
    return f'<div class="row">{"".join(thumbnails)}<span>{escape(note)}</span></div>'


def escape(text: Any) -> str:
    """Text that is safe in HTML: markup and unprintable characters are escaped, line breaks are kept."""
    return html.escape(visible(str(text), keep="\n\t"))


def _spot(spot: Spot) -> str:
    side = " right" if spot.left > 0.5 else ""
    edges = {"left": spot.left, "top": spot.top, "width": spot.width, "height": spot.height}
    style = ";".join(f"{name}:{share:.2%}" for name, share in edges.items())
    return f'<span class="spot{side}" tabindex="0" role="img" aria-label="{escape(spot.text)}" style="{style}"></span>'


def _cell(value: Any, sortable: bool) -> str:
    if isinstance(value, (NumberCell, float, int)):
        number = value.value if isinstance(value, NumberCell) else value
        data = f' data-value="{float(number)!r}"' if sortable else ""
        plain_number = f"{number:,}" if isinstance(number, int) else f"{number:.4f}"
        text = escape(value.text) if isinstance(value, NumberCell) else plain_number
        return f'<td class="number"{data}>{text}</td>'
    if isinstance(value, Markup):
        return f"<td>{value}</td>"
    return f"<td>{escape(value)}</td>"
