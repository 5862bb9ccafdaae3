"""report.html of explanations: the values of page.html. Images with their maps come first, then all checks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.explaining.checks.catalogue import DISPLAY_ORDER
from lightcnn.explaining.checks.summary import image_verdict, summary_paragraphs
from lightcnn.explaining.figures.page_image import PageImage
from lightcnn.explaining.methods.catalogue import is_rectified, title_of
from lightcnn.explaining.terminal import MARKS, format_check, image_heading, ordered_checks
from lightcnn.output import html
from lightcnn.output.caveats import page_cautions
from lightcnn.output.charts.svg import Chart

TEMPLATE = "explaining/page.html"
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
    "plots/means.png": (
        "Where the network looks on average",
        "Mean maps of each explained class at the network's input, as they are shown: those of Grad-CAM from 0 up. The "
        "maps of a method share one scale.",
    ),
    "plots/cases.png": (
        "The most and the least confident predictions",
        "Among the explained images, as the network saw them. The maps of a method share one scale.",
    ),
}
"""Name of an overview figure → its title and caption."""
UNLIKE = ", above 1: the image is unlike the training images, so the prediction and the maps are not reliable."
CURVES = "Deletion (lower curves are better) and insertion (higher curves are better)."


COLOURS = {
    True: "In Grad-CAM, brighter colours support the class.",
    False: "Green supports the class, purple opposes it.",
}
"""What the colours mean, for rectified maps and for signed ones."""
STATES = {True: "passed", False: "failed", None: ""}
"""The result of a check → the kind of its badge."""
ONE_HEADER = ("method", "check", "passed", "value")
SEVERAL_HEADER = ("method", "check", "passed", "share", "95 % interval", "mean value", "95 % interval")


def explain_page(report: Mapping[str, Any], charts: Mapping[str, Chart], images: Mapping[str, PageImage]) -> bytes:
    """The whole page.

    `charts` are those of the overview by the name of their file; `images` are the first MAX_PANELS images by the name
    of their panel.
    """
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for entry in report["explanations"]:
        by_image.setdefault(entry["panel"], []).append(entry)
    shown = [_image(entries, images[name]) for name, entries in by_image.items() if name in images]
    paragraphs = summary_paragraphs(report["summary"])
    rectified = {is_rectified(name) for name in report["methods"]}
    context = {
        "heading": shown[0]["heading"] if len(by_image) == 1 and shown else f"{len(by_image):,} images explained",
        "images": shown, "conclusion": paragraphs[-1],
        "colours": " ".join(text for kind, text in COLOURS.items() if kind in rectified),
        "failures": [f"{failure['method']}: {failure['error']}" for failure in report["failures"][:MAX_FAILURES]],
        "cautions": page_cautions(report), "commands": _commands(report),
        "more_images": max(0, len(by_image) - MAX_PANELS), "several": len(by_image) > 1,
        "methods": _methods(report["summary"], paragraphs[:-1]), "curves_caption": CURVES, "scales": SCALES,
        "overviews": [
            {"chart": charts[name], "title": title, "caption": caption}
            for name, (title, caption) in CAPTIONS.items() if name in charts
        ],
        "skipped": [(skipped["image"], skipped["reason"]) for skipped in report["skipped"]],
        "facts": _facts(report), "notes": report["notes"], **_summary(report["summary"]),
    }  # fmt: skip
    return html.render(TEMPLATE, "lightcnn explain", context)


def _commands(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What to do next: the checks that were not made, other images, and what to do with the network."""
    run, checks = shlex.quote(report["run"]), report["checks"]
    methods = ",".join(report["methods"])
    steps = [("Explain images of your own", f"lightcnn explain {run} IMAGES --method {methods}")]
    if checks != "full":
        steps.insert(0, ("Check the maps thoroughly", f"lightcnn explain {run} --method {methods} --checks full"))
    return [*steps, ("Predict the classes of other images", f"lightcnn predict {run} IMAGES")]


def _image(entries: Sequence[Mapping[str, Any]], shown: PageImage) -> dict[str, Any]:
    """An image with its maps, its checks and its notes."""
    first = entries[0]
    caption = f"Explained class: {first['target']}, probability {first['probability']:.4f}."
    if first["unlikeness"] is not None:
        caption += f" Unlikeness {first['unlikeness']:.2f}" + (UNLIKE if first["unlikeness"] > 1 else ".")
    panes = [
        {
            "title": title_of(entry["method"]), "verdict": image_verdict(entry["checks"]),
            "layer": shown.layers.get(entry["method"]), "empty": shown.empty.get(entry["method"]),
            "badges": [_badge(check["passed"], name) for name, check in ordered_checks(entry["checks"])],
        }
        for entry in entries
    ]  # fmt: skip
    names = [name for name in DISPLAY_ORDER if any(name in entry["checks"] for entry in entries)]
    rows = [
        (name, *(format_check(name, entry["checks"][name]) if name in entry["checks"] else "" for entry in entries))
        for name in names
    ]
    return {
        "heading": image_heading(entries), "caption": caption, "shown": shown, "panes": panes, "check_rows": rows,
        "check_header": ("check", *(title_of(entry["method"]) for entry in entries)),
        "notes": list(dict.fromkeys(_notes(entries))),
    }  # fmt: skip


def _badge(passed: bool | None, text: str) -> dict[str, str]:
    return {"state": STATES[passed], "text": f"{MARKS[passed]} {text}"}


def _methods(rows: Sequence[Mapping[str, Any]], paragraphs: Sequence[str]) -> list[dict[str, Any]]:
    """A paragraph per method with the badges of its checks; the last paragraph, if any, is about all methods."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    badges = [
        [
            _badge(2 * row["passed"] >= row["images"] if row["images"] else None,
                   f"{row['check']} {row['passed']}/{row['images']}")
            for row in rows if row["method"] == name
        ]
        for name in names
    ]  # fmt: skip
    return [
        {"text": text, "badges": badges[place] if place < len(badges) else []} for place, text in enumerate(paragraphs)
    ]


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row per method and check, and the rule of every check; of a single image no shares or intervals."""
    several = any(row["images"] > 1 for row in rows)
    withheld = {row["value"]["interval"] for row in rows if row["value"] and row["value"]["low"] is None}
    single = [(title_of(row["method"]), row["check"], _format_passed(row), _format_mean(row)) for row in rows]
    return {
        "summary_header": SEVERAL_HEADER if several else ONE_HEADER,
        "summary_rows": [_summary_row(row) for row in rows] if several else single,
        "intervals": [f"Intervals {text}." for text in sorted(withheld)] if several else [],
        "rules": list({row["check"]: row["rule"] for row in rows}.items()),
    }


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


def _notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{title_of(entry['method'])}: {note}" for entry in entries for note in entry["notes"]]
