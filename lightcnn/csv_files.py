"""CSV that spreadsheets open safely, and that is read back unchanged. No torch.

A spreadsheet runs a cell such as `=1+1` as a formula. Such cells are written with an apostrophe before them, and read
without it. Names of files that are not UTF-8 are written with the bytes that they have in the file system.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Spreadsheets ignore white space before a formula, and split cells at ; and tabs in some languages.
FORMULA = re.compile(r"(^|[;\t\r\n])('*\s*[=+\-@＝＋－＠])")
"""The beginning of a formula, with what is before it."""
GUARDED = re.compile(r"(^|[;\t\r\n])'('*\s*[=+\-@＝＋－＠])")
"""The same after it was guarded."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
"""A number, which no spreadsheet runs."""


def guard(cell: Any) -> Any:
    """A cell that no spreadsheet runs as a formula; numbers are unchanged."""
    if not isinstance(cell, str) or NUMBER.fullmatch(cell):
        return cell
    return FORMULA.sub(r"\1'\2", cell)


def unguard(cell: str) -> str:
    """The text that `guard` was given."""
    return GUARDED.sub(r"\1\2", cell)


def write(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV, guarded for spreadsheets; the header is the first row."""
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows([guard(cell) for cell in row] for row in rows)
    return "".join(lines).encode("utf-8", "surrogateescape")


def text_of(content: bytes) -> io.StringIO:
    """The text of a CSV file that `write` wrote, for a reader of Python's csv module."""
    return io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")


def read(content: bytes) -> list[dict[str, str]]:
    """The rows of CSV that `write` wrote, by the names of the columns. Raises: ValueError."""
    try:
        header, *rows = ([unguard(cell) for cell in row] for row in csv.reader(text_of(content), strict=True))
    except csv.Error as error:  # no ValueError, which callers turn into one line
        raise ValueError(str(error)) from None
    return [dict(zip(header, row, strict=False)) for row in rows]


class _Lines(list[str]):
    r"""The lines of a csv.writer, which quotes a cell with \r only if that is a part of its line ends."""

    def write(self, line: str) -> None:
        """Takes a row with its line end."""
        self.append(line.removesuffix("\r\n") + "\n")
