"""The parts of a file name, and what its first parts may identify: `S000` and `S000_V0` in `S000_V0_A`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lightcnn.data.grouping.name_patterns import MAX_CHARACTERS, Identifier

DAY = r"(?:19|20)\d\d([ _.-]?)[01]\d\1[0-3]\d|[0-3]\d([ _.-])[01]\d\2(?:19|20)\d\d"
TIME = r"(?:[ T_-]| at )[0-2]\d([ _.:h-]?)[0-5]\d\3[0-5]\d"
_DATE = re.compile(rf"(?<!\d)(?:{DAY})(?:{TIME})?(?!\d)")
_PART = re.compile(r"[^ _.()-]+")
_JOINED = re.compile(r"(?:[A-Za-z]{1,3}\d+){2,4}[A-Za-z]*")
"""Several letters with numbers and nothing between them, as in `r01c02f03`."""
_PIECE = re.compile(r"[A-Za-z]*\d+|[A-Za-z]+")
MAX_PARTS = 8
"""Most parts of a name that are read."""


def beginnings(stem: str) -> dict[int, Identifier]:
    """What the first 1, 2, ... parts of a name may identify, with the parts behind them as its number.

    They contain a number that is not part of a date. Dates and times behind them are not counters, and are removed.
    """
    stem = stem[:MAX_CHARACTERS].lower()
    ends = list(_ends(stem))[: MAX_PARTS + 1]
    identifiers = {}
    for count, end in enumerate(ends[:-1], 1):
        if re.search(r"\d", _DATE.sub("", stem[:end])):
            identifiers[count] = Identifier("NAME_NUMBER", stem[:end], _DATE.sub("", stem[end:]).strip(" _.-"))
    return identifiers


def _ends(stem: str) -> Iterator[int]:
    """Where each part of a name ends; a date is one part."""
    masked = _DATE.sub(lambda date: "0" * len(date[0]), stem)
    for part in _PART.finditer(masked):
        if _JOINED.fullmatch(part[0]):
            yield from (part.start() + piece.end() for piece in _PIECE.finditer(part[0]))
        else:
            yield part.end()
