"""Reads the size of an image as it is typed, such as 3x224x224. No torch."""

from __future__ import annotations

import re

from lightcnn.errors import InputError


def parse_input(text: str) -> tuple[int, int, int]:
    """An input size such as 3x224x224. Raises: InputError."""
    match = re.fullmatch(r"(\d{1,4})[x×](\d{1,5})[x×](\d{1,5})", text.strip().lower())
    sides = tuple(map(int, match.groups())) if match else ()
    if len(sides) != 3 or not all(sides):
        raise InputError(f"{text}: not an input size; write channels, height and width, as in 3x224x224")
    return sides[0], sides[1], sides[2]


def parse_input_option(text: str) -> tuple[int, int, int]:
    """The value of --input. Raises: InputError."""
    try:
        return parse_input(text)
    except InputError as error:
        raise InputError(f"--input {error}") from None
