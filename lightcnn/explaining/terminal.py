"""What people see of explanations: a table an image, one over all images, and each check in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from lightcnn.output.terminal import table
from lightcnn.text import visible

MARKS = {True: "✓", False: "✗", None: "–"}
MAIN = ("deletion", "insertion", "completeness", "fit", "seeds", "randomisation", "stability", "mask", "map")
"""Checks in the order in which they are shown."""


def image_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """The `explanations` of one image, a row a method."""
    rows = table("method", "class", "p", "checks", left=(0, 1, 3))
    for entry in entries:
        told = "  ".join(brief(name, check) for name, check in ordered(entry["checks"]))
        rows.add_row(
            Text(entry["method"]),
            Text(visible(entry["target"])),
            f"{entry['probability']:.3f}",
            Text(told or "none made"),
        )
    return rows


def image_heading(entries: Sequence[Mapping[str, Any]]) -> str:
    """Which image, what it is, and what the network says of it."""
    first = entries[0]
    label = f", labelled {first['label']}" if first.get("label") is not None else ""
    return f"{first['image']}: {first['prediction']}{label}"


def layer_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Layers in the order they run, with the sizes of their maps."""
    shown = table("layer", "kind", "channels", "height", "width", left=(0, 1))
    for row in rows:
        sizes = (str(row[name]) for name in ("channels", "height", "width"))
        shown.add_row(Text(visible(row["name"])), row["kind"], *sizes)
    return shown


def summary_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `summary`: how many images passed each check of each method."""
    shown = table("method", "check", "passed", "share", "95 % interval", "mean value", left=(0, 1))
    for row in rows:
        share, value = row["share"], row["value"]
        interval = "" if share["low"] is None else f"{100 * share['low']:.0f} to {100 * share['high']:.0f} %"
        shown.add_row(
            row["method"], row["check"], f"{row['passed']} of {row['images']}",
            "" if share["value"] is None else f"{100 * share['value']:.0f} %", interval,
            "" if value is None else f"{value['mean']:.3f}",
        )  # fmt: skip
    return shown


def ordered(checks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Checks by name, in the order in which they are shown."""
    return [(name, checks[name]) for name in MAIN if name in checks]


def brief(name: str, check: Mapping[str, Any]) -> str:
    """A check in a few words: its mark, its number and what that is held against."""
    return f"{MARKS[check['passed']]} {_number(name, check)}"


def _number(name: str, check: Mapping[str, Any]) -> str:
    value = check["value"]
    if name == "map":
        return check["says"] or "map without warning"
    if value is None:
        return f"{name}: {check['says'] or 'unknown'}"
    if name in ("deletion", "insertion"):
        best = (min if name == "deletion" else max)(check["controls"].values())
        digits = next((few for few in (2, 3, 4) if f"{value:.{few}f}" != f"{best:.{few}f}"), 5)
        little = "; tells little" if check["blind"] else ""
        return f"{name} {value:.{digits}f} (best control {best:.{digits}f}{little})"
    if name == "completeness":
        return f"completeness error {100 * value:.2g} %"
    if name == "mask":
        hit = "hit" if check["pointing"] else "miss"
        return f"mask {100 * value:.0f} % of energy, {100 * check['area']:.0f} % of area, {hit}"
    words = {
        "fit": "fit R²", "seeds": "other seed r", "randomisation": "redrawn network ρ", "stability": "noise ρ"
    }  # fmt: skip
    return f"{words.get(name, name)} {value:.2f}"
