"""report.html: one file that opens offline. No script, nothing fetched; every text from outside is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.wide { overflow-x: auto; margin: .6rem 0 } table { border-collapse: collapse }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #ddd }
td.number { text-align: right; font-variant-numeric: tabular-nums } .big { font-size: 2rem; font-weight: 600 }
.alarm { background: #b00020; color: #fff; font-size: 1.2rem; font-weight: 600; padding: .8rem 1rem }
.note { background: #fff4d6; border-left: 4px solid #d55e00; padding: .5rem 1rem }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
img { max-width: 100% } figure { margin: 1rem 0 } figcaption { color: #555 }
.row { display: flex; flex-wrap: wrap; gap: .6rem; padding: .6rem 0; border-bottom: 1px solid #ddd }
.row figure { margin: 0; width: 6.6rem; font-size: .72rem; line-height: 1.3; overflow-wrap: anywhere }
.row img { border: 3px solid transparent; display: block } .row .framed img { border-color: #d55e00 }
"""


def page(title: str, parts: Sequence[str]) -> bytes:
    """A whole page of HTML parts, UTF-8."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head><body>'
    )
    return (head + f"<h1>{escape(title)}</h1>" + "\n".join(parts) + "</body></html>\n").encode()


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is big, note or alarm."""
    return f'<p class="{kind}">{escape(text)}</p>'


def code(text: str) -> str:
    """Text in a fixed font, its line breaks kept."""
    return f"<pre>{escape(text)}</pre>"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table that scrolls where it is wider than the page; numbers are set to the right."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs(values: Mapping[str, Any]) -> str:
    """A two-column table of names and values."""
    return table(("", ""), list(values.items()))


def figure(png: bytes, caption: str) -> str:
    """A picture inside the page, with what it shows."""
    source = base64.b64encode(png).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{source}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def thumbnail(jpeg: bytes, title: str, lines: Sequence[str], *, framed: bool = False) -> str:
    """A small picture with its title and lines of text beneath, framed where it stands out."""
    source = base64.b64encode(jpeg).decode()
    text = "<br>".join((f"<b>{escape(title)}</b>", *(escape(line) for line in lines if line)))
    frame = ' class="framed"' if framed else ""
    return f'<figure{frame}><img alt="" src="data:image/jpeg;base64,{source}"><figcaption>{text}</figcaption></figure>'


def row(thumbnails: Sequence[str], note: str = "") -> str:
    """Thumbnails side by side, and what is to be said behind them."""
    return f'<div class="row">{"".join(thumbnails)}<span>{escape(note)}</span></div>'


def escape(text: Any) -> str:
    """Text that is safe inside HTML; line breaks stay, other characters that do not print are spelled out."""
    return html.escape(visible(str(text), keep="\n\t"))


def visible(text: str, keep: str = "") -> str:
    r"""Text in which what does not print (control characters, bytes that are no text) is spelled out, as in \x1b."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.4f}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape(value)}</td>"
