"""report.html of explanations: what the checks say together, the test side at a glance, and the images one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.explaining.checks.summary import TITLES, sentences
from lightcnn.explaining.terminal import MAIN, brief, image_heading
from lightcnn.output import html
from lightcnn.output.caveats import caveats

SHOWN = 40
"""Images whose panels the page shows; the folder has all."""
SCALES = (
    "Grad-CAM is shown from 0 up, as its paper rectifies it. Integrated Gradients, LIME and occlusion are shown with "
    "both signs: green speaks for the class, purple against it; the scale ends where 99.5 % of the pixels lie. Each "
    "map has a scale of its own, told by its colour bar. In an overlay there is the more colour the further a value is "
    "from 0. Where the network saw nothing, the picture is faded. LIME's yellow lines go round the superpixels that "
    "speak most for the class, five at most. A blue line goes round the truth, where a mask tells it."
)
CAPTIONS = {
    "plots/means.png": "Mean of the maps of each class that was explained, at the input, each as it is shown: of "
    "Grad-CAM from 0 up. The maps of a method share one scale.",
    "plots/cases.png": "The surest and the least sure answers of the images that were explained, as the network saw "
    "them. The maps of a method share one scale.",
}
CURVES = "Deletion, where a low curve is good, and insertion, where a high one is."


def explain_page(
    report: Mapping[str, Any], pictures: Mapping[str, bytes], panels: Mapping[str, Sequence[bytes]]
) -> bytes:
    """The whole page. `panels`: of the first SHOWN images, by their `panel`, the panel and any curves."""
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for entry in report["explanations"]:
        by_image.setdefault(entry["panel"], []).append(entry)
    return html.page(
        "lightcnn explain",
        [
            *_cautions(report),
            *(html.paragraph(said, "note") for said in sentences(report["summary"])),
            html.pairs(_facts(report)),
            *(html.paragraph(note, "note") for note in report["notes"]),
            *_skipped(report),
            html.heading("What the checks say together"),
            _summary(report["summary"]),
            *(html.figure(pictures[name], caption) for name, caption in CAPTIONS.items() if name in pictures),
            html.heading("Images"),
            html.paragraph(SCALES),
            *(part for name, entries in by_image.items() if name in panels for part in _image(entries, panels[name])),
            *([html.paragraph(f"{len(by_image) - SHOWN:,} more images in panels/")] if len(by_image) > SHOWN else []),
        ],
    )


def _cautions(report: Mapping[str, Any]) -> list[str]:
    """What stands on top: the first of the data's caveats as an alarm where they are a stand-in."""
    said = caveats(report["data"]) if report["data"] else []
    parts = [html.paragraph(report["warning"], "alarm")] if report["warning"] else []
    return parts + [html.paragraph(text, "note") for text in said if text != report["warning"]]


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    counts = report["counts"]
    of = f" of {counts['available']:,}" if counts["available"] != counts["explained"] else ""
    return {
        "run": report["run"],
        "images": f"{counts['explained']:,}{of}" + (f", {counts['skipped']:,} skipped" if counts["skipped"] else ""),
        "data": report["data"]["source"] if report["data"] else "files",
        "classes": ", ".join(report["classes"]),
        "methods": ", ".join(TITLES.get(name, name) for name in report["methods"]),
        "checks": report["checks"],
        "seed": str(report["seed"]),
    }


def _skipped(report: Mapping[str, Any]) -> list[str]:
    parts = [html.paragraph(f"{one['method']}: {one['error']}", "alarm") for one in report["failures"][:5]]
    if report["skipped"]:
        rows = [(one["image"], one["reason"]) for one in report["skipped"]]
        parts += [html.heading("Skipped"), html.table(("image", "reason"), rows)]
    return parts


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row a method and check, and the rule of every check."""
    if not rows:
        return html.paragraph("No checks were made (--checks none).")
    header = ("method", "check", "passed", "share", "95 % interval", "mean value", "95 % interval")
    rules = {row["check"]: row["rule"] for row in rows}
    withheld = {row["value"]["interval"] for row in rows if row["value"] and row["value"]["low"] is None}
    return "\n".join(
        [
            html.table(header, [_row(row) for row in rows]),
            *(html.paragraph(f"An interval was {text}.") for text in sorted(withheld)),
            html.paragraph("A check is passed by one rule, the same for every method and image:"),
            html.table(("check", "rule"), list(rules.items())),
        ]
    )


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    share, value = row["share"], row["value"]
    return (
        _title(row),
        row["check"],
        f"{row['passed']} of {row['images']}" + (f", {row['unjudged']} unknown" if row["unjudged"] else ""),
        "" if share["value"] is None else f"{100 * share['value']:.0f} %",
        _between(share, 100, ".0f", " %"),
        "" if value is None else f"{value['mean']:.3f}",
        "" if value is None else _between(value, 1, ".3f", "") or "withheld",
    )


def _between(found: Mapping[str, Any], scale: float, form: str, unit: str) -> str:
    if found["low"] is None:
        return ""
    return f"{scale * found['low']:{form}} to {scale * found['high']:{form}}{unit}"


def _image(entries: Sequence[Mapping[str, Any]], pictures: Sequence[bytes]) -> list[str]:
    """The panel of an image, its curves, its checks and its notes."""
    first = entries[0]
    return [
        html.heading(image_heading(entries)),
        html.figure(pictures[0], f"Explained: {first['target']}, with a probability of {first['probability']:.4f}."),
        *(html.figure(picture, CURVES) for picture in pictures[1:]),
        *_checks(entries),
        *(html.paragraph(note) for note in dict.fromkeys(_notes(entries))),
    ]


def _checks(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row a check, a column a method."""
    names = [name for name in MAIN if any(name in entry["checks"] for entry in entries)]
    rows = [
        (name, *(brief(name, entry["checks"][name]) if name in entry["checks"] else "" for entry in entries))
        for name in names
    ]
    return [html.table(("check", *(_title(entry) for entry in entries)), rows)] if rows else []


def _notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{_title(entry)}: {note}" for entry in entries for note in entry["notes"]]


def _title(entry: Mapping[str, Any]) -> str:
    return str(TITLES.get(entry["method"], entry["method"]))
