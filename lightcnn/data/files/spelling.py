"""Spellings of class, split and file names that people and file systems use."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from lightcnn.errors import DataError
from lightcnn.text import is_utf8

SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""Other common names of the splits: they are refused with the name that lightcnn reads."""


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): macOS writes `é` into file names as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def require_class_names(where: str, names: Iterable[str]) -> None:
    """Raises: DataError if a name is not UTF-8, or two names differ only in case or in their Unicode form."""
    spellings: dict[str, str] = {}
    for name in names:
        if not is_utf8(name):
            raise DataError(f"{where}: the name of the class {name!r} is not UTF-8; rename it")
        earlier = spellings.setdefault(composed(name).casefold(), name)
        if earlier != name:
            raise DataError(
                f"{where}: the classes {earlier!r} and {name!r} differ only in case or in the Unicode form of accents; "
                "give both the same name, or rename one if they are different classes"
            )


def leads_out(file: Path, root: Path) -> bool:
    """Whether a file, with links followed, is outside of `root`, a resolved path."""
    return not file.resolve().is_relative_to(root)
