"""Markdown in which every text from outside stays text: no markup, no HTML, no second line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lightcnn.text import visible

MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""What Markdown, HTML, mathematics, mentions and links are made of."""


def escape(text: Any) -> str:
    """One line that is shown as it is; what does not print is spelled out."""
    return MARKUP.sub(r"\\\1", visible(str(text)))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [[escape(cell) for cell in row] for row in (header, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(header), *lines[1:]))


def bullets(texts: Sequence[str]) -> str:
    """A list, one line each."""
    return "\n".join(f"- {escape(text)}" for text in texts)
