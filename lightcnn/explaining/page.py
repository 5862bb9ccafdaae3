"""report.html of explanations: the images one by one, an overview of the test set, and the summary of the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lightcnn.explaining.checks.catalogue import DISPLAY_ORDER
from lightcnn.explaining.checks.summary import summary_paragraphs
from lightcnn.explaining.methods.catalogue import title_of
from lightcnn.explaining.terminal import format_check, image_heading
from lightcnn.output import html
from lightcnn.output.caveats import cautions

MAX_PANELS = 40
"""Number of images whose panels the page shows; the run folder has all panels."""
MAX_FAILURES = 5
"""Number of failed methods that the page lists."""
SCALES = (
    "Grad-CAM is shown from 0 up, rectified as in its paper. Integrated Gradients, LIME and occlusion are shown with "
    "both signs: green supports the class, purple opposes it; the scale covers 99.5 % of the pixels. Each map has its "
    "own scale, shown by its colour bar. In overlays, colour intensity grows with the absolute value. Parts of the "
    "image that the network did not see are faded. Yellow lines outline the superpixels that support the class most "
    "according to LIME, at most five. A blue line outlines the ground-truth mask, if there is one."
)
CAPTIONS = {
    "plots/means.png": "Mean maps of each explained class at the network's input, as they are shown: those of Grad-CAM "
    "from 0 up. The maps of a method share one scale.",
    "plots/cases.png": "The most and the least confident predictions among the explained images, as the network saw "
    "them. The maps of a method share one scale.",
}
UNLIKE = ", above 1: the image is unlike the training images, so the prediction and the maps are not reliable."
CURVES = "Deletion (lower curves are better) and insertion (higher curves are better)."


def explain_page(
    report: Mapping[str, Any], figures: Mapping[str, bytes], panels: Mapping[str, Sequence[bytes]]
) -> bytes:
    """The whole page.

    `figures` are the overview figures by name. `panels` holds, for the first MAX_PANELS images by the name of their
    panel, the panel and the curves if any.
    """
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for entry in report["explanations"]:
        by_image.setdefault(entry["panel"], []).append(entry)
    images = [_image(entries, panels[name]) for name, entries in by_image.items() if name in panels]
    return html.page(
        "lightcnn explain",
        [
            *([html.paragraph(report["warning"], "alarm")] if report["warning"] else []),
            *(part for image in images[:1] for part in image),
            *_notes_on_all(report),
            *(part for image in images[1:] for part in image),
            *_more_images(len(by_image)),
            html.paragraph(SCALES),
            *(html.figure(figures[name], caption) for name, caption in CAPTIONS.items() if name in figures),
            html.heading("Checks of all images"),
            *(html.paragraph(text) for text in summary_paragraphs(report["summary"])[:-1]),
            _summary(report["summary"]),
            html.heading("This report"),
            html.pairs(_facts(report)),
            *(html.paragraph(note) for note in report["notes"]),
            *_skipped(report),
        ],
    )


def _notes_on_all(report: Mapping[str, Any]) -> list[str]:
    """What must be known of all images: failed methods, warnings, and what the checks do not show."""
    failures = [f"{failure['method']}: {failure['error']}" for failure in report["failures"][:MAX_FAILURES]]
    notes = [text for text in cautions(report) if text != report["warning"]]
    return [
        *(html.paragraph(text, "alarm") for text in failures),
        *(html.paragraph(text, "note") for text in [*notes, summary_paragraphs(report["summary"])[-1]]),
    ]


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    counts = report["counts"]
    total = f" of {counts['available']:,}" if counts["available"] != counts["explained"] else ""
    skipped = f", {counts['skipped']:,} skipped" if counts["skipped"] else ""
    return {
        "run": report["run"],
        "images": f"{counts['explained']:,}{total}{skipped}",
        "data": report["data"]["source"] if report["data"] else "files",
        "classes": ", ".join(report["classes"]),
        "methods": ", ".join(title_of(name) for name in report["methods"]),
        "checks": report["checks"],
        "seed": str(report["seed"]),
    }


def _skipped(report: Mapping[str, Any]) -> list[str]:
    if not report["skipped"]:
        return []
    rows = [(skipped["image"], skipped["reason"]) for skipped in report["skipped"]]
    return [html.heading("Skipped images"), html.table(("image", "reason"), rows)]


def _more_images(count: int) -> list[str]:
    return [html.paragraph(f"{count - MAX_PANELS:,} more images are in panels/")] if count > MAX_PANELS else []


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row per method and check, and the rule of every check."""
    if not rows:
        return html.paragraph("No checks were made (--checks none).")
    rules = {row["check"]: row["rule"] for row in rows}
    withheld = {row["value"]["interval"] for row in rows if row["value"] and row["value"]["low"] is None}
    several = any(row["images"] > 1 for row in rows)
    return Markup("\n").join(
        [
            _table_of_several(rows) if several else _table_of_one(rows),
            *(html.paragraph(f"Intervals {text}.") for text in sorted(withheld) if several),
            html.paragraph("A map passes a check by one rule, which is the same for every method and image:"),
            html.table(("check", "rule"), list(rules.items())),
        ]
    )


def _table_of_one(rows: Sequence[Mapping[str, Any]]) -> str:
    """The checks of a single image, which has no shares, means or intervals."""
    cells = [(title_of(row["method"]), row["check"], _format_passed(row), _format_mean(row)) for row in rows]
    return html.table(("method", "check", "passed", "value"), cells)


def _table_of_several(rows: Sequence[Mapping[str, Any]]) -> str:
    header = ("method", "check", "passed", "share", "95 % interval", "mean value", "95 % interval")
    return html.table(header, [_summary_row(row) for row in rows])


def _summary_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    share, value = row["share"], row["value"]
    return (
        title_of(row["method"]),
        row["check"],
        _format_passed(row),
        "" if share["value"] is None else f"{100 * share['value']:.0f} %",
        _format_interval(share, 100, ".0f", " %"),
        _format_mean(row),
        "" if value is None else _format_interval(value, 1, ".3f", "") or "withheld",
    )


def _format_passed(row: Mapping[str, Any]) -> str:
    return f"{row['passed']} of {row['images']}" + (f", {row['unjudged']} unknown" if row["unjudged"] else "")


def _format_mean(row: Mapping[str, Any]) -> str:
    return "" if row["value"] is None else f"{row['value']['mean']:.3f}"


def _format_interval(interval: Mapping[str, Any], scale: float, form: str, unit: str) -> str:
    if interval["low"] is None:
        return ""
    return f"{scale * interval['low']:{form}} to {scale * interval['high']:{form}}{unit}"


def _image(entries: Sequence[Mapping[str, Any]], figures: Sequence[bytes]) -> list[str]:
    """The panel of an image, its curves, its checks and its notes."""
    first = entries[0]
    caption = f"Explained class: {first['target']}, probability {first['probability']:.4f}."
    if first["unlikeness"] is not None:
        caption += f" Unlikeness {first['unlikeness']:.2f}" + (UNLIKE if first["unlikeness"] > 1 else ".")
    return [
        html.heading(image_heading(entries)),
        html.figure(figures[0], caption),
        *(html.figure(figure, CURVES) for figure in figures[1:]),
        *_checks(entries),
        *(html.paragraph(note) for note in dict.fromkeys(_notes(entries))),
    ]


def _checks(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per check and one column per method."""
    names = [name for name in DISPLAY_ORDER if any(name in entry["checks"] for entry in entries)]
    rows = [
        (name, *(format_check(name, entry["checks"][name]) if name in entry["checks"] else "" for entry in entries))
        for name in names
    ]
    return [html.table(("check", *(title_of(entry["method"]) for entry in entries)), rows)] if rows else []


def _notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{title_of(entry['method'])}: {note}" for entry in entries for note in entry["notes"]]
