"""What the terminal shows of explanations: a table per image, a table over all images, and each check in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from lightcnn.explaining.checks.catalogue import CHECKS, DISPLAY_ORDER
from lightcnn.explaining.progress import ExplainProgress
from lightcnn.output.console import CommandConsole
from lightcnn.output.terminal import COMPACT, table
from lightcnn.text import visible

MARKS = {True: "✓", False: "✗", None: "–"}


class TerminalProgress(ExplainProgress):
    """Shows the steps with `show_step` and, on `console`, a table of each image once it is explained."""

    def __init__(self, show_step: Callable[[str, int, int], None], console: CommandConsole | None) -> None:
        self._show_step = show_step
        self._console = console

    def step(self, what: str, done: int, total: int) -> None:
        """`done` of `total` parts of the step `what` are done."""
        self._show_step(what, done, total)

    def explained(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """One image is explained."""
        if self._console is not None:
            self._console.print_line(image_heading(entries))
            self._console.print(image_table(entries, width=self._console.width))


def image_table(entries: Sequence[Mapping[str, Any]], *, width: int = COMPACT) -> Table:
    """The `explanations` of one image, one row per method; a narrow terminal has no values of the checks."""
    rows = table("method", "class", "p", "checks", left=(0, 1, 3))
    for entry in entries:
        checks = "  ".join(
            f"{MARKS[check['passed']]} {name}" if width < COMPACT else format_check(name, check)
            for name, check in ordered_checks(entry["checks"])
        )
        rows.add_row(
            Text(entry["method"]),
            Text(visible(entry["target"])),
            f"{entry['probability']:.3f}",
            Text(checks or "not checked"),
        )
    return rows


def image_heading(entries: Sequence[Mapping[str, Any]]) -> str:
    """The name of an image, its prediction and its label."""
    first = entries[0]
    label = f", labelled {first['label']}" if first.get("label") is not None else ""
    return f"{first['image']}: predicted {first['prediction']}{label}"


def layer_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Layers in the order in which they run, with the sizes of their maps."""
    layers = table("layer", "kind", "channels", "height", "width", left=(0, 1))
    for row in rows:
        sizes = (str(row[name]) for name in ("channels", "height", "width"))
        layers.add_row(Text(visible(row["name"])), row["kind"], *sizes)
    return layers


def summary_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `summary`: how many images passed each check of each method; of one image no share or interval."""
    several = any(row["images"] > 1 for row in rows)
    shares = ("share", "95 % interval") if several else ()
    summary = table("method", "check", "passed", *shares, "mean value" if several else "value", left=(0, 1))
    for row in rows:
        share, value = row["share"], row["value"]
        interval = "" if share["low"] is None else f"{100 * share['low']:.0f} to {100 * share['high']:.0f} %"
        cells = ("" if share["value"] is None else f"{100 * share['value']:.0f} %", interval) if several else ()
        mean = "" if value is None else f"{value['mean']:.3f}"
        summary.add_row(row["method"], row["check"], f"{row['passed']} of {row['images']}", *cells, mean)
    return summary


def ordered_checks(checks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Checks by name, in the order in which they are shown."""
    return [(name, checks[name]) for name in DISPLAY_ORDER if name in checks]


def format_check(name: str, check: Mapping[str, Any]) -> str:
    """A check in one line: its mark, its value and what the value is compared with."""
    return f"{MARKS[check['passed']]} {_format_value(name, check)}"


def _format_value(name: str, check: Mapping[str, Any]) -> str:
    value, label = check["value"], CHECKS[name].label
    if name == "map":
        return check["says"] or "map without warnings"
    if value is None:
        return f"{name}: {check['says'] or 'unknown'}"
    if name in ("deletion", "insertion"):
        return _format_curve(name, check)
    if name == "completeness":
        return f"completeness error {100 * value:.2g} %"
    if name == "mask":
        hit = "hit" if check["pointing"] else "miss"
        return f"mask {100 * value:.0f} % of energy, {100 * check['area']:.0f} % of area, {hit}"
    return f"{label} {value:.2f}"


def _format_curve(name: str, check: Mapping[str, Any]) -> str:
    """The area under a curve and that of the best control, with as many digits as distinguish them."""
    value, best = check["value"], (min if name == "deletion" else max)(check["controls"].values())
    digits = next((count for count in (2, 3, 4) if f"{value:.{count}f}" != f"{best:.{count}f}"), 5)
    blind = "; shows little" if check["blind"] else ""
    return f"{name} {value:.{digits}f} (best control {best:.{digits}f}{blind})"
