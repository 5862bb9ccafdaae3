"""What the terminal shows of an ablation: the live view, a dry run, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightcnn import interrupt
from lightcnn.ablating.progress import AblationProgress
from lightcnn.budget import human
from lightcnn.output.console import CommandConsole
from lightcnn.output.terminal import LiveView, fitted_table, key_value_grid, table
from lightcnn.text import visible


class AblateView(LiveView, AblationProgress):
    """Shows an ablation: live on a terminal, one line per change elsewhere, nothing when quiet."""

    def __init__(self, console: CommandConsole, quiet: bool) -> None:
        super().__init__(console, quiet)
        self._change, self._part = "reading images", ""
        self._completed, self._total = 0.0, 1

    def reading(self, what: str, done: int, total: int) -> None:
        """Shows a step of reading the images and how many are processed."""
        interrupt.check()
        self.announce(what, done, total)
        self._part, self._completed, self._total = what, done, max(1, total)

    def change(self, number: int, total: int, name: str, about: str) -> None:
        """Shows the recipe that is trained next."""
        self._change, self._part = f"{number} of {total}, {name}: {about}", ""
        self.line(self._change)

    def part(self, number: int, total: int, name: str) -> None:
        """Shows which training of a recipe is next."""
        self._part = f"part {number} of {total}, {name}"

    def planned(self, run: Any, recipe: Any, data: dict[str, Any], progress: Any) -> None:
        """Shows the epochs of a training that starts or resumes."""
        self._completed, self._total = progress.epoch, recipe.training.epochs

    def epoch(self, progress: Any) -> None:
        """Shows that an epoch is finished."""
        self._completed = progress.epoch

    def failed(self, name: str, reason: str) -> None:
        """Prints that a change could not be trained."""
        self.line(f"{name} failed: {reason}")

    def render(self) -> RenderableType:
        """The current state."""
        rows = key_value_grid()
        rows.add_row("change", Text(visible(self._change)))
        rows.add_row(Text(self._part), ProgressBar(total=self._total, completed=self._completed, width=50))
        return Group(rows)


def ablate_table(report: Mapping[str, Any], *, width: int) -> Table:
    """One row per change, from report.json: cost, score, and the difference from the unchanged recipe.

    If it is narrow, it has fewer columns.
    """
    header = ("change", "FLOPs", "params", report["metric"], "sd", "difference (95 %), points", "p (Holm)")
    cells = []
    for row in report["rows"]:
        mean, sd, difference = row["metric"]["mean"], row["metric"]["sd"], row["difference"]
        paired = ("", "")
        if difference is not None:
            p = row["p_adjusted"]
            paired = (_format_difference(difference, row["low"], row["high"]), "< 0.001" if p < 0.001 else f"{p:.3f}")
        cells.append((
            visible(row["change"]), human(row["cost"]["macs"]), human(row["cost"]["params"]), f"{mean:.2%}",
            "" if sd is None else f"{100 * sd:.2f}", *paired,
        ))  # fmt: skip
    shown = ["bold" if row["shown"] else "" for row in report["rows"]]
    optional = ("sd", "params", "p (Holm)", "FLOPs")
    return fitted_table(header, cells, optional=optional, width=width, left=("change",), styles=shown)


def dry_run_table(plan: Mapping[str, Any]) -> Table:
    """One row per change, from the document of a dry run: its cost and its time."""
    rows = table("change", "what it is", "FLOPs", "params", "time", left=(0, 1))
    for row in plan["rows"]:
        cost = row["cost"]
        what, numbers = f"cannot be trained: {row['reason']}", ("", "", "")
        if cost is not None:
            what, numbers = row["about"], (human(cost["macs"]), human(cost["params"]), format_duration(row["seconds"]))
        rows.add_row(Text(visible(row["change"])), Text(visible(what)), *numbers)
    return rows


def format_duration(seconds: float) -> str:
    """A duration in one unit, in words."""
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} seconds"


def _format_difference(value: float, low: float | None, high: float | None) -> str:
    interval = "" if low is None or high is None else f" ({100 * low:+.2f} to {100 * high:+.2f})"
    return f"{100 * value:+.2f}{interval}"
