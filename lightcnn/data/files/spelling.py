"""Spellings of class, split and file names that people and file systems use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightcnn.errors import DataError
from lightcnn.text import is_utf8

SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""Other common names of the splits: they are refused with the name that lightcnn reads."""


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): macOS writes `é` into file names as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str) -> str:
    """What all spellings of one name have in common: `1`, `1.0` and `01` are equal; so are `P-10`, `p 10` and `p010`.

    Case, Unicode form, invisible characters, spaces, `-` or `_` between words, and leading zeros do not count.
    """
    text = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf").casefold()
    text = unicodedata.normalize("NFC", text).strip()
    number = re.fullmatch(r"([+-]?)0*(\d+)(?:\.(\d*?)0*)?", text, re.ASCII)
    if number:
        sign, whole, fraction = number.groups()
        digits = f"{whole}.{fraction}" if fraction else whole
        return digits if sign in ("", "+") or digits == "0" else f"-{digits}"
    text = re.sub(r"(?<=[^\W\d_])(?:[\s_]+|-)(?=\d)", "", text)
    text = re.sub(r"(?<=[^\W_])(?:[\s_]+|-)(?=[^\W_])", " ", text)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", text)


def require_class_names(where: str, names: Iterable[str]) -> None:
    """Raises: DataError if a name is not UTF-8, or two are spellings of one name, as `Cat` and `cat`, `1` and `1.0`."""
    spellings: dict[str, str] = {}
    for name in names:
        if not is_utf8(name):
            raise DataError(f"{where}: the name of the class {name!r} is not UTF-8; rename it")
        earlier = spellings.setdefault(same_name(name), name)
        if earlier != name:
            raise DataError(
                f"{where}: the classes {earlier!r} and {name!r} {_difference(earlier, name)}; "
                "give both the same name, or rename one if they are different classes"
            )


def are_class_names(names: Iterable[str]) -> bool:
    """Whether all of these can be names of classes beside each other."""
    names = tuple(names)
    try:
        require_class_names("", names)
    except DataError:
        return False
    return all(names)


def with_one_spelling(names: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The names, each in the shortest spelling of its name, and the names that have several spellings."""
    spellings: dict[str, set[str]] = {}
    for name in dict.fromkeys(names):
        spellings.setdefault(same_name(name), set()).add(name)
    first = {
        name: min(variants, key=lambda variant: (len(variant), variant))
        for variants in spellings.values()
        for name in variants
    }
    return [first[name] for name in names], [tuple(sorted(v)) for v in spellings.values() if len(v) > 1]


def _difference(first: str, second: str) -> str:
    """How two spellings of one name differ, as the end of a clause."""
    if composed(first).casefold() == composed(second).casefold():
        return "differ only in case or in the Unicode form of accents"
    if re.fullmatch(r"-?\d+(\.\d*)?", same_name(first), re.ASCII):
        return "are the same number"
    return "differ only in spaces, hyphens, leading zeros or the form of characters"


def leads_out(file: Path, root: Path) -> bool:
    """Whether a file, with links followed, is outside of `root`, a resolved path."""
    return not file.resolve().is_relative_to(root)
