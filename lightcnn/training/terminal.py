"""What `lightcnn train` prints on the terminal: the live view, the dry run, the result. No torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightcnn import interrupt
from lightcnn.budget import human
from lightcnn.output.caveats import STAND_IN_PANEL
from lightcnn.output.console import CommandConsole
from lightcnn.output.largest_class import largest_class_clause
from lightcnn.output.terminal import LiveView, format_duration, key_value_grid, table
from lightcnn.text import visible
from lightcnn.training.progress import TrainingProgress

EPOCH_LINES = 20
"""Approximate number of epochs that are printed without a live view."""
BAR_WIDTH = 50
"""Width of a progress bar in characters."""
WIDE = 100
"""Columns of a terminal from which tables have all of their columns."""
PART_METRICS = ("accuracy", "balanced_accuracy", "f1", "auc")
"""The scores in the table of parts."""


class TrainView(LiveView, TrainingProgress):
    """Shows a training: a live view on a terminal, a few lines elsewhere, nothing when quiet."""

    def __init__(self, console: CommandConsole, quiet: bool) -> None:
        super().__init__(console, quiet)
        self._phase, self._done, self._total = "reading images", 0, 1
        self._history: Any = None
        self._settings: Any = None
        self._images, self._images_done, self._epoch_start, self._earlier_epochs = 1, 0, 0.0, 0
        self._speed = 0.0
        self._part = ""

    def reading(self, what: str, done: int, total: int) -> None:
        """Images are being prepared: the step, the number of images done, and the number of all images."""
        interrupt.check()
        self.announce(what, done, total)
        self._phase, self._done, self._total = what, done, total

    def part(self, number: int, total: int, name: str) -> None:
        """The next of several trainings starts."""
        self._part = f"part {number} of {total}, {name}"
        self._settings, self._speed = None, 0.0
        self.line(self._part)

    def planned(self, run: Any, recipe: Any, data: dict[str, Any], history: Any) -> None:
        """A training starts, or resumes after `history`."""
        self._settings, self._history, self._earlier_epochs = recipe.training, history, history.epoch
        self._images = data["counts"]["train"]
        if data["stand_in"]:
            self.show(stand_in_panel(data))
        resumed = f", resuming after epoch {history.epoch}" if history.epoch else ""
        self.line(f"training {recipe.name or 'a network'} on {data['source']} ({_format_counts(data)}) for up to "
                  f"{recipe.training.epochs} epochs, into {run.path}{resumed}")  # fmt: skip
        if history.first_weights != "random weights":
            self.line(f"starting from {history.first_weights}")
        self._phase, self._images_done, self._epoch_start = "training", 0, time.monotonic()

    def stepped(self, images: int) -> None:
        """A batch of `images` images was processed."""
        self._images_done += images
        self._speed = self._images_done / max(time.monotonic() - self._epoch_start, 1e-9)

    def epoch(self, history: Any) -> None:
        """An epoch ended and is on disk."""
        self._history, self._images_done, self._epoch_start = history, 0, time.monotonic()
        every = max(1, self._settings.epochs // EPOCH_LINES)
        last, row = history.ended(self._settings), history.rows[-1]
        if not self.is_live and (history.epoch % every == 0 or last or history.epoch == 1):
            self.line(f"epoch {history.epoch} of {self._settings.epochs}: {_format_epoch(row)}, "
                      f"{self._images / row.seconds:,.0f} images/s, best epoch so far {history.best}")  # fmt: skip

    def finishing(self) -> None:
        """Training ended. The test set is evaluated and the report written next."""
        self._phase = "evaluating the test set, writing the report"

    def render(self) -> RenderableType:
        """The current state of the training."""
        rows = key_value_grid()
        if self._settings is None:
            rows.add_row(self._phase, Text(f"{self._done:,} of {self._total:,} images"))
            rows.add_row("", ProgressBar(total=max(1, self._total), completed=self._done, width=BAR_WIDTH))
            return Group(rows)
        epochs, done = self._settings.epochs, self._history.epoch
        if self._part:
            rows.add_row("", Text(self._part))
        rows.add_row(self._phase, Text(f"epoch {min(done + 1, epochs)} of {epochs}"))
        rows.add_row("", ProgressBar(total=epochs, completed=done + self._images_done / self._images, width=BAR_WIDTH))
        rows.add_row("speed", Text(f"{self._speed:,.0f} images/s"))
        if done:
            rows.add_row("last epoch", Text(_format_epoch(self._history.rows[-1])))
            best = self._history.rows[self._history.best - 1]
            rows.add_row(f"best, epoch {best.epoch}", Text(_format_epoch(best)))
        rows.add_row("time", Text(self._format_time_left(epochs, done)))
        return Group(rows)

    def _format_time_left(self, epochs: int, done: int) -> str:
        if not self._speed:
            return ""
        images = (epochs - done) * self._images - self._images_done
        recent = [row.seconds for row in self._history.rows[self._earlier_epochs :]]
        each = sum(recent) / len(recent) / self._images if recent else 1 / self._speed
        early = ", less if training stops early" if self._settings.patience else ""
        return f"about {format_duration(images * each)} left{early}"


def stand_in_panel(data: Mapping[str, Any]) -> Panel:
    """The red panel of a training on stand-in data. `data` is that of report.json."""
    text = Text(f"STAND-IN DATA: {data['source']}\n", style="bold")
    text.append(f"{STAND_IN_PANEL}\n", style="bold")
    text.append(visible(data["note"], keep="\n"))
    return Panel(text, style="white on red", title="no real data", expand=False)


def dry_run_lines(plan: Mapping[str, Any]) -> str:
    """Data, network and time of a training, from the document of a dry run."""
    cost = plan["network"]["cost"]
    return "\n".join((
        f"data    {plan['data']['source']}: {_format_counts(plan['data'])}",
        f"network {human(cost['macs'])} FLOPs, {human(cost['params'])} params, "
        f"{human(cost['weight_bytes']['int8'])}B int8 weights, {human(cost['peak_activations'])}B int8 activations",
        f"time    about {format_duration(plan['estimate']['seconds'])} for {plan['epochs']} epochs on {plan['device']} "
        f"(measured on a few batches: {plan['estimate']['images_per_second']:,.0f} images/s; without reading data and "
        "writing reports); nothing was written",
    ))  # fmt: skip


def train_summary(report: Mapping[str, Any]) -> str:
    """One line: accuracy, interval, epochs or number of trainings, and cost."""
    accuracy, total = report["metrics"]["test"]["accuracy"], report["network"]["cost"]
    return (
        f"test accuracy {accuracy['value']:.2%} (95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}, "
        f"{accuracy['interval']}{largest_class_clause(report['metrics']['test'])}), "
        f"{_format_trainings(report)}, {human(total['macs'])} FLOPs, {human(total['params'])} params"
    )


def result_grid(report: Mapping[str, Any]) -> Table:
    """The same for a terminal: one row each for the accuracy, the largest class, the training and the cost."""
    test, total, counters = report["metrics"]["test"], report["network"]["cost"], report["network"]["counters"]
    accuracy, largest = test["accuracy"], largest_class_clause(test)
    others = ", ".join(f"{name} {human(count)}" for name, count in counters.items())
    rows = key_value_grid()
    rows.add_row("test accuracy", Text(f"{accuracy['value']:.2%}", style="bold"))
    rows.add_row("95 % interval", Text(f"{accuracy['low']:.2%} to {accuracy['high']:.2%} ({accuracy['interval']})"))
    if largest:
        rows.add_row("to compare", Text(largest.removeprefix("; ")))
    rows.add_row("trained", Text(_format_trainings(report)))
    rows.add_row("cost", Text(f"{human(total['macs'])} FLOPs ({others}), {human(total['params'])} params"))
    return rows


def _format_trainings(report: Mapping[str, Any]) -> str:
    """The best epoch, or the number of trainings."""
    if "parts" in report:
        return f"{len(report['parts'])} trainings, each image tested by networks that were not trained on it"
    return f"best epoch {report['best_epoch']} of {report['epochs']}"


def parts_table(report: Mapping[str, Any], *, width: int) -> Table:
    """One row per part of a repeated training, then mean and standard deviation; fewer scores below `WIDE` columns."""
    metrics = PART_METRICS if width >= WIDE else PART_METRICS[:1]
    rows = table(
        "seed", "fold", "test images", *(name.replace("_", " ") for name in metrics), "epochs", "time", left=()
    )
    for part in report["parts"]:
        rows.add_row(
            str(part["seed"]), str(part["fold"] or "-"), f"{part['counts']['test']:,}",
            *(_format_share(part[name]) for name in metrics), str(part["epochs"]),
            format_duration(part["seconds"]),
        )  # fmt: skip
    for statistic in ("mean", "sd"):
        shares = (_format_share(report["summary"][name][statistic]) for name in metrics)
        rows.add_row(statistic, "", "", *shares, "", "")
    return rows


def _format_counts(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {split_name}" for split_name, count in data["counts"].items())


def _format_share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2%}"


def _format_epoch(row: Any) -> str:
    return f"loss {row.loss:.4f}, validation loss {row.val_loss:.4f}, accuracy {row.val_accuracy:.2%}"
