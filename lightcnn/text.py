"""Text for people: names from outside made printable, long values shortened, error messages in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def visible(text: str, keep: str = "") -> str:
    r"""Text in which what does not print (control characters, bytes that are no text) is spelled out, as in \x1b."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def nearest(word: object, names: Iterable[object]) -> str:
    """`; did you mean 'x'?` where one of `names` is close to `word`, else nothing."""
    close = difflib.get_close_matches(str(word).lower(), [str(name) for name in names], n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def first_line(message: object) -> str:
    """The first line of a text or of an error's message; the name of its type where an error has no message."""
    lines = str(message).strip().splitlines()
    return lines[0].strip() if lines else type(message).__name__ if isinstance(message, BaseException) else ""


def shorten(text: str, length: int) -> str:
    """The text, or its beginning with `…` behind it, in `length` characters at most."""
    return text if len(text) <= length else text[: length - 1] + "…"
