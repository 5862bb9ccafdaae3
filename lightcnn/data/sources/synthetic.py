"""`synthetic-lesions`, with options in its name: `synthetic-lesions:count=600,size=96,classes=4,seed=1,shortcut`."""

from __future__ import annotations

from dataclasses import dataclass

from lightcnn.data.dataset import Dataset, assemble
from lightcnn.errors import DataError
from lightcnn.output.caveats import STAND_IN_NOTE
from lightcnn.progress import Progress
from lightcnn.recipe import Reading
from lightcnn.text import nearest

RANGES = {"count": (12, 1_000_000), "size": (16, 1024), "classes": (2, 6), "seed": (0, 2**32 - 1)}
MAX_BYTES = 4_000_000_000
"""Pixels and masks of one set, which lie in memory."""


@dataclass(frozen=True)
class SyntheticOptions:
    """What is drawn: how many pictures, of how many pixels a side, in how many classes."""

    count: int = 300
    size: int = 128
    classes: int = 2
    seed: int = 0
    shortcut: bool = False


def options_of(source: str) -> SyntheticOptions:
    """The options after the colon of a source, each at most once. Raises: DataError."""
    _, colon, text = source.partition(":")
    numbers: dict[str, int] = {}
    shortcut = False
    for part in text.split(",") if colon else ():
        key, given, value = (piece.strip() for piece in part.partition("="))
        where = f"data {source!r}: {key or part!r}"
        if key in numbers or (key == "shortcut" and shortcut):
            raise DataError(f"{where} stands there twice; give it once")
        if key == "shortcut" and given:
            raise DataError(f"{where} takes no value; give shortcut alone, or leave it out")
        if key == "shortcut":
            shortcut = True
        else:
            numbers[key] = _number(where, key, value)
    options = SyntheticOptions(**numbers, shortcut=shortcut)
    size = options.count * options.size**2 * 4
    if size > MAX_BYTES:
        raise DataError(
            f"data {source!r}: {size / 1e9:.1f} GB in memory, over {MAX_BYTES / 1e9:.0f}; draw fewer or smaller ones"
        )
    return options


def _number(where: str, key: str, value: str) -> int:
    if key not in RANGES:
        known = [*(f"{name}=NUMBER" for name in RANGES), "shortcut"]
        raise DataError(f"{where} is no option{nearest(key, [*RANGES, 'shortcut'])}; give {', '.join(known)}")
    low, high = RANGES[key]
    if not (value.isascii() and value.isdecimal() and len(value) < 12 and low <= int(value) <= high):
        raise DataError(f"{where} is {value!r}; give a whole number from {low} to {high:,}")
    return int(value)


def synthetic_lesions(source: str, reading: Reading, progress: Progress) -> Dataset:
    """Pictures that look like lesions on skin, drawn by code, several a patient. Raises: DataError."""
    options = options_of(source)
    from lightcnn.data.sources.lesion_painter import paint_lesions

    drawn = paint_lesions(options.count, options.size, options.classes, options.seed, options.shortcut)
    return assemble(
        source,
        drawn.images,
        drawn.labels,
        drawn.classes,
        groups=drawn.patients,
        groups_from="source",
        stand_in=True,
        note=STAND_IN_NOTE,
        masks=drawn.masks,
    )
