"""Text for people: printable, short, one line."""

from __future__ import annotations

import pytest

from lightcnn.errors import InputError
from lightcnn.text import first_line, format_error, nearest, shorten, visible


def test_unprintable_characters_are_escaped() -> None:
    assert visible("a\x1b[31m\nä") == "a\\x1b[31m\\nä"
    assert visible("a\n\tb", keep="\n") == "a\n\\tb"


@pytest.mark.parametrize(
    ("message", "line"),
    [("", ""), (" one \n two", "one"), (ValueError("one\ntwo"), "one"), (ValueError(), "ValueError")],
)
def test_a_message_is_reduced_to_its_first_line(message: object, line: str) -> None:
    assert first_line(message) == line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("data x: missing\nmore"), "data x: missing"),
        (ValueError("bad\nmore"), "ValueError: bad"),
        (MemoryError(), "MemoryError: MemoryError"),
    ],
)
def test_only_errors_of_others_name_their_type(error: BaseException, text: str) -> None:
    assert format_error(error) == text


def test_a_close_name_is_suggested() -> None:
    assert nearest("Widht", ["width", "depth"]) == "; did you mean 'width'?"
    assert nearest("zzz", ["width", "depth"]) == ""


def test_a_long_text_ends_with_an_ellipsis() -> None:
    assert (shorten("abc", 3), shorten("abcd", 3)) == ("abc", "ab…")
