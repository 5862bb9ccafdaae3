"""Names of classes, splits and files, as people and file systems spell them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from lightcnn.errors import DataError

SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""What people also call the splits: recognised, and refused with the name that is read."""


def composed(name: str) -> str:
    """A name in Unicode's composed form: macOS writes `é` as two characters into file names, others as one."""
    return unicodedata.normalize("NFC", name)


def require_one_spelling(where: str, names: Iterable[str]) -> None:
    """Raises: DataError where two names of classes differ in case or in Unicode's forms only."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(composed(name).casefold(), name)
        if other != name:
            raise DataError(
                f"{where}: the classes {other!r} and {name!r} differ in case or in accents' form only; "
                "give both one name, or rename one if they are meant apart"
            )


def leads_out(file: Path, root: Path) -> bool:
    """Whether a file, its links followed, lies outside `root`, which is resolved already."""
    return not file.resolve().is_relative_to(root)
