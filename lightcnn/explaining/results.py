"""What is kept of explained images until the report is written: numbers, words, and the page's pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightcnn.data.files.walk import Skipped
from lightcnn.errors import DataError
from lightcnn.explaining.explanation import Explanation, Failure
from lightcnn.explaining.figures.image_files import Drawn, figure_bytes
from lightcnn.explaining.figures.overview import Overview
from lightcnn.explaining.images.image import Picture
from lightcnn.explaining.page import SHOWN
from lightcnn.text import visible

COLUMNS = (
    "image", "label", "prediction", "target", "probability", "method", "layer", "seconds", "check", "value", "passed"
)  # fmt: skip
Entry = dict[str, Any]


@dataclass(eq=False)
class Results:
    """Of all images: `entries` are the `explanations` of report.json, `seconds_before` those of earlier sessions."""

    warning: str
    entries: list[Entry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    panels: dict[str, list[bytes]] = field(default_factory=dict)
    unmasked: list[str] = field(default_factory=list)
    overview: Overview = field(default_factory=Overview)
    seconds_before: float = 0.0

    def add(self, picture: Picture, found: Sequence[Explanation], drawn: Drawn) -> list[Entry]:
        """An explained image; returns its entries."""
        own = [_entry(picture, one, drawn) for one in found]
        self.entries += own
        if picture.mask is None:
            self.unmasked.append(picture.name)
        if picture.label is not None:
            self.overview.add(found, picture.label)
        if len(self.panels) < SHOWN:
            self.panels[drawn.panel] = [drawn.files[name] for name in (drawn.panel, drawn.curves) if name]
        return own

    def counts(self) -> dict[str, int]:
        """Images that were explained by one method or more, and that were skipped."""
        return {"explained": len({entry["panel"] for entry in self.entries}), "skipped": len(self.skipped)}

    def notes(self, *, masked: bool) -> list[str]:
        """What must be known of all; `masked` where masks were given."""
        if not masked or not self.unmasked:
            return []
        shown = ", ".join(self.unmasked[:3]) + (", …" if len(self.unmasked) > 3 else "")
        return [f"{len(self.unmasked):,} images without a mask: {shown}"]

    def require_some(self, count: int) -> None:
        """Raises: InputError, a DataError too, where nothing was explained of so many images."""
        if self.entries:
            return
        if self.failures:
            raise self.failures[0].error
        shown = "; ".join(visible(f"{one.image} {one.reason}") for one in self.skipped[:3])
        raise DataError(f"explain: none of {count:,} images could be explained: {shown}")

    def overview_pictures(self) -> dict[str, bytes]:
        """The figures of a test side, as files."""
        return {
            f"plots/{name}.png": figure_bytes(drawn, self.warning) for name, drawn in self.overview.figures().items()
        }


def table(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """explanations.csv: a row for each check of each explanation, and one for each without checks."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        first = [entry[name] for name in COLUMNS[:8]]
        checks = [(name, check["value"], check["passed"]) for name, check in entry["checks"].items()]
        writer.writerows([*first, *rest] for rest in checks or [("", None, None)])
    # Names that are no UTF-8 are written as the bytes that the file system has.
    return stream.getvalue().encode("utf-8", "surrogateescape")


def _entry(picture: Picture, one: Explanation, drawn: Drawn) -> Entry:
    """One of the `explanations` of report.json."""
    told = one.document()
    name = one.attribution.method
    return {
        "image": told.pop("image"),
        "label": picture.label,
        "group": picture.group,
        **told,
        "notes": [*told["notes"], *picture.notes, *drawn.notes],
        "map": drawn.maps[name],
        "overlay": drawn.overlays[name],
        "panel": drawn.panel,
        "curves": drawn.curves,
    }
