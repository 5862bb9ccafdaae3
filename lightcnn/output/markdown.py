"""Markdown in which untrusted text stays plain text: no markup, no HTML, no line breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lightcnn.text import visible

MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""Characters with a meaning in Markdown, HTML, mathematics, mentions and links."""


def escape(text: Any) -> str:
    """The text in one line, with markup and unprintable characters escaped."""
    return MARKUP.sub(r"\\\1", visible(str(text)))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table with a header."""
    lines = [[escape(cell) for cell in row] for row in (header, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(header), *lines[1:]))


def bullets(texts: Sequence[str]) -> str:
    """A list with one line per text."""
    return "\n".join(f"- {escape(text)}" for text in texts)
