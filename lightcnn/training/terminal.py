"""What people see of a training on the terminal: the live view, a dry run, the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightcnn.budget import human
from lightcnn.output.caveats import caveats
from lightcnn.output.terminal import LiveView, format_duration, key_value_grid, table
from lightcnn.text import visible
from lightcnn.training.progress import TrainingProgress

LINES = 20
"""Lines of epochs where there is no terminal, about."""


class TrainView(LiveView, TrainingProgress):
    """A `TrainWatcher` that shows a training: live on a terminal, some lines elsewhere, nothing when quiet."""

    def __init__(self, console: Console, quiet: bool) -> None:
        super().__init__(console, quiet)
        self._phase, self._done, self._of = "reading images", 0, 1
        self._progress: Any = None
        self._settings: Any = None
        self._images, self._met, self._epoch_began, self._first = 1, 0, 0.0, 0
        self._speed = 0.0
        self._part = ""

    def reading(self, what: str, done: int, total: int) -> None:
        """What is being done to the images, and to how many so far."""
        self._phase, self._done, self._of = what, done, total

    def part(self, number: int, total: int, name: str) -> None:
        """The next of several trainings begins."""
        self._part = f"part {number} of {total}, {name}"
        self._settings, self._speed = None, 0.0
        self.line(self._part)

    def planned(self, run: Any, recipe: Any, data: dict[str, Any], progress: Any) -> None:
        """The training begins, or goes on after `progress`."""
        self._settings, self._progress, self._first = recipe.training, progress, progress.epoch
        self._images = data["counts"]["train"]
        if data["stand_in"]:
            self.show(stand_in_panel(data))
        on = f", going on after epoch {progress.epoch}" if progress.epoch else ""
        counts = ", ".join(f"{count:,} {side}" for side, count in data["counts"].items())
        self.line(f"training {recipe.name or 'a network'} on {data['source']} ({counts}) for up to "
                   f"{recipe.training.epochs} epochs, into {run.path}{on}")  # fmt: skip
        if progress.first_weights != "random weights":
            self.line(f"begun with {progress.first_weights}")
        self._phase, self._met, self._epoch_began = "training", 0, time.monotonic()

    def stepped(self, images: int) -> None:
        """A batch of so many images was met."""
        self._met += images
        self._speed = self._met / max(time.monotonic() - self._epoch_began, 1e-9)

    def epoch(self, progress: Any) -> None:
        """An epoch ended and is on disk."""
        self._progress, self._met, self._epoch_began = progress, 0, time.monotonic()
        every = max(1, self._settings.epochs // LINES)
        last = progress.ended(self._settings)
        if not self.is_live and (progress.epoch % every == 0 or last or progress.epoch == 1):
            self.line(f"epoch {progress.epoch} of {self._settings.epochs}: {_said(progress.rows[-1])}, "
                       f"{self._images / progress.rows[-1].seconds:,.0f} images/s, best so far epoch {progress.best}"
                       )  # fmt: skip

    def finishing(self) -> None:
        """Training ended; the test side is looked at and the report written."""
        self._phase = "looking at the test side, writing the report"

    def render(self) -> RenderableType:
        """How things stand."""
        rows = key_value_grid()
        if self._settings is None:
            rows.add_row(self._phase, Text(f"{self._done:,} of {self._of:,} images"))
            rows.add_row("", ProgressBar(total=max(1, self._of), completed=self._done, width=50))
            return Group(rows)
        epochs, done = self._settings.epochs, self._progress.epoch
        if self._part:
            rows.add_row("", Text(self._part))
        rows.add_row(self._phase, Text(f"epoch {min(done + 1, epochs)} of {epochs}"))
        rows.add_row("", ProgressBar(total=epochs, completed=done + self._met / self._images, width=50))
        rows.add_row("speed", Text(f"{self._speed:,.0f} images/s"))
        if done:
            rows.add_row("last epoch", Text(_said(self._progress.rows[-1])))
            best = self._progress.rows[self._progress.best - 1]
            rows.add_row(f"best, epoch {best.epoch}", Text(_said(best)))
        rows.add_row("time", Text(self._time(epochs, done)))
        return Group(rows)

    def _time(self, epochs: int, done: int) -> str:
        if not self._speed:
            return ""
        images = (epochs - done) * self._images - self._met
        recent = [row.seconds for row in self._progress.rows[self._first :]]
        each = sum(recent) / len(recent) / self._images if recent else 1 / self._speed
        return f"about {format_duration(images * each)} left" + (
            ", less if it stops early" if self._settings.patience else ""
        )


def stand_in_panel(data: Mapping[str, Any]) -> Panel:
    """What nobody can overlook."""
    text = Text(f"STAND-IN DATA: {data['source']}\n", style="bold")
    text.append("Nothing that comes of this tells anything about patients.\n", style="bold")
    text.append(visible("\n".join(caveats(data)[1:]), keep="\n"))
    return Panel(text, style="white on red", title="no real data")


def dry_run_lines(plan: Mapping[str, Any]) -> str:
    """What would be trained, from the document of a dry run, after the recipe."""
    cost, counts = plan["network"]["cost"], plan["data"]["counts"]
    return "\n".join((
        f"data    {plan['data']['source']}: " + ", ".join(f"{count:,} {side}" for side, count in counts.items()),
        f"network {human(cost['macs'])} FLOPs, {human(cost['params'])} params, "
        f"{human(cost['weight_bytes']['int8'])}B int8 weights, {human(cost['peak_activations'])}B int8 activations",
        f"time    about {format_duration(plan['estimate']['seconds'])} for {plan['epochs']} epochs "
        f"on {plan['device']}, at {plan['estimate']['images_per_second']:,.0f} images/s as measured on a few steps, "
        "reading and reports aside; nothing was written",
    ))  # fmt: skip


def train_summary(report: Mapping[str, Any]) -> str:
    """One line: accuracy, interval, epochs or parts, cost."""
    accuracy, total = report["metrics"]["test"]["accuracy"], report["network"]["cost"]
    if "parts" in report:
        trained = f"{len(report['parts'])} trainings, each image tested by networks that had not seen it"
    else:
        trained = f"best epoch {report['best_epoch']} of {report['epochs']}"
    return (
        f"test accuracy {accuracy['value']:.2%} (95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}, "
        f"{accuracy['interval']}), {trained}, {human(total['macs'])} FLOPs, {human(total['params'])} params"
    )


def parts_table(report: Mapping[str, Any]) -> Table:
    """A row a part of a repeated training, then mean and deviation."""
    names = ("accuracy", "balanced_accuracy", "f1", "auc")
    told = (name.replace("_", " ") for name in names)
    rows = table("seed", "fold", "test images", *told, "epochs", "time", left=())
    for part in report["parts"]:
        rows.add_row(
            str(part["seed"]), str(part["fold"] or "-"), f"{part['counts']['test']:,}",
            *(_share(part[name]) for name in names), str(part["epochs"]), format_duration(part["seconds"]),
        )  # fmt: skip
    for of in ("mean", "sd"):
        rows.add_row(of, "", "", *(_share(report["summary"][name][of]) for name in names), "", "")
    return rows


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2%}"


def _said(row: Any) -> str:
    return f"loss {row.loss:.4f}, validation loss {row.val_loss:.4f}, accuracy {row.val_accuracy:.2%}"
