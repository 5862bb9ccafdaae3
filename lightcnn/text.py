"""Text for people: printable names, short values, and error messages in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lightcnn.errors import LightcnnError

NOT_UTF8 = "is not UTF-8; rename the file or folder, and give its new name"
"""The rule and the remedy for a name that cannot be saved in a document."""


def visible(text: str, keep: str = "") -> str:
    r"""Text with unprintable characters (controls, undecodable bytes) escaped, as in \x1b, except those in `keep`."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8; names of files whose bytes are not UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def nearest(word: object, names: Iterable[object]) -> str:
    """`; did you mean 'x'?` if one of the names is close to the word, else an empty text."""
    close = difflib.get_close_matches(str(word).lower(), [str(name) for name in names], n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def not_one_of(value: object, names: Iterable[object]) -> str:
    """`'x' is not one of a, b, c; did you mean 'b'?`: what every message about a wrong choice says."""
    choices = [str(name) for name in names]
    return f"{value!r} is not one of {', '.join(choices)}{nearest(value, choices)}"


def first_line(message: object) -> str:
    """The first line of a text or of an error's message; for an error without a message, the name of its type."""
    lines = str(message).strip().splitlines()
    return lines[0].strip() if lines else type(message).__name__ if isinstance(message, BaseException) else ""


def format_error(error: BaseException) -> str:
    """One line for any error: the message of an error of lightcnn, `Type: message` for all others."""
    text = first_line(error)
    return text if isinstance(error, LightcnnError) else f"{type(error).__name__}: {text}"


def shorten(text: str, length: int) -> str:
    """The text, cut to at most `length` characters with `…` at its end if it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def in_one_line(value: object) -> str:
    """A value as Python writes it, in one line of at most 60 characters."""
    return shorten(first_line(repr(value)), 60)
