"""What is collected of all images until the report is written: entries, images of the page and an overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightcnn import csv_files
from lightcnn.data.files.conversion import Conversion
from lightcnn.data.files.walk import Skipped
from lightcnn.errors import DataError
from lightcnn.explaining.explanation import Explanation, Failure
from lightcnn.explaining.figures.image_files import FigureFiles
from lightcnn.explaining.figures.overview import Overview
from lightcnn.explaining.figures.page_image import PageImage, page_image
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.page import MAX_PANELS
from lightcnn.output.charts.svg import Chart
from lightcnn.predictor import Evaluation
from lightcnn.text import visible

COLUMNS = (
    "image", "label", "prediction", "target", "probability", "method", "layer", "seconds", "check", "value", "passed"
)  # fmt: skip
MAX_LISTED = 3
"""Number of images that a note or an error names."""
Entry = dict[str, Any]


@dataclass(eq=False)
class Results:
    """The results of all images so far.

    `entries` are the `explanations` of report.json; `images` are those of the page, by the name of their panel.
    `seconds_before` is the time spent in earlier sessions of a resumed run.
    """

    warning: str
    entries: list[Entry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    images: dict[str, PageImage] = field(default_factory=dict)
    without_mask: list[str] = field(default_factory=list)
    conversions: list[Conversion] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    overview: Overview = field(default_factory=Overview)
    seconds_before: float = 0.0

    def add(
        self, image: ExplainedImage, explanations: Sequence[Explanation], files: FigureFiles, evaluation: Evaluation
    ) -> list[Entry]:
        """Adds an explained image and returns its entries."""
        score = {"unlikeness": evaluation.unlikeness}
        entries = [_entry(image, explanation, files) | score for explanation in explanations]
        self.entries += entries
        self.evaluations.append(evaluation)
        self.conversions += [] if image.conversion is None else [image.conversion]
        if image.mask is None:
            self.without_mask.append(image.name)
        if image.label is not None:
            self.overview.add(explanations, image.label)
        if len(self.images) < MAX_PANELS:
            self.images[files.panel] = page_image(image, explanations, files.contents[files.panel], files.chart)
        return entries

    def counts(self) -> dict[str, int]:
        """The number of images explained by at least one method, and of images skipped."""
        return {"explained": len({entry["panel"] for entry in self.entries}), "skipped": len(self.skipped)}

    def notes(self, *, masks_given: bool) -> list[str]:
        """Notes on all images together."""
        if not masks_given or not self.without_mask:
            return []
        more = ", …" if len(self.without_mask) > MAX_LISTED else ""
        listed = ", ".join(self.without_mask[:MAX_LISTED]) + more
        return [f"{len(self.without_mask):,} images without a mask: {listed}"]

    def require_any(self, count: int) -> None:
        """Raises: InputError if none of `count` images was explained."""
        if self.entries:
            return
        if self.failures:
            raise self.failures[0].error
        listed = "; ".join(visible(f"{skipped.image} {skipped.reason}") for skipped in self.skipped[:MAX_LISTED])
        raise DataError(f"explain: none of {count:,} images could be explained: {listed}")

    def overview_charts(self) -> dict[str, Chart]:
        """The charts of a test set by the name of their PNG file in the run folder."""
        return {f"plots/{name}.png": each.with_warning(self.warning) for name, each in self.overview.charts().items()}


def explanations_table(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """explanations.csv: one row per check of each explanation; an explanation without checks has one row too."""
    rows: list[Sequence[Any]] = [COLUMNS]
    for entry in entries:
        first = [entry[name] for name in COLUMNS[:8]]
        checks = [(name, check["value"], check["passed"]) for name, check in entry["checks"].items()]
        rows += [[*first, *check] for check in checks or [("", None, None)]]
    return csv_files.write(rows)


def _entry(image: ExplainedImage, explanation: Explanation, files: FigureFiles) -> Entry:
    """One of the `explanations` of report.json."""
    document = explanation.document()
    method = explanation.attribution.method
    return {
        "image": document.pop("image"),
        "label": image.label,
        "group": image.group,
        **document,
        "notes": [*document["notes"], *image.notes, *files.notes],
        "map": files.maps[method],
        "overlay": files.overlays[method],
        "panel": files.panel,
        "curves": files.curves,
    }
