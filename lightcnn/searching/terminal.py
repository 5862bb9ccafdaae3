"""What people see of a search: its live view, the table of the best, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightcnn.budget import Budget, human
from lightcnn.output.terminal import LiveView, format_duration, key_value_grid, table
from lightcnn.searching.progress import SearchProgress


class SearchView(LiveView, SearchProgress):
    """A `Watcher` that shows a search: live on a terminal, a line a trial elsewhere, nothing when quiet."""

    def __init__(self, console: Console, quiet: bool) -> None:
        super().__init__(console, quiet)
        self._budget: Budget | None = None
        self._clock: Any = None
        self._settings: Any = None
        self._current = ""
        self._cost: Any = None
        self._done, self._of = 0, 1
        self._best: Any = None
        self._counts: dict[str, int] = {}
        self._phase = "reading images"

    def reading(self, what: str, done: int, total: int) -> None:
        """What is being done to the images, and to how many so far."""
        self._phase, self._current, self._done, self._of = what, f"{done} of {total} images", done, total

    def planned(self, run: Any, space: Any, plan: Any, clock: Any, settings: Any) -> None:
        """The search begins, or goes on."""
        self._budget, self._clock, self._settings, self._phase = space.budget, format_duration, settings, "searching"
        epochs = ", ".join(map(str, plan.rungs.epochs))
        self.line(f"searching {space.space.name} under {space.budget} on {settings.data}: "
                   f"trainings of {epochs} epochs on {plan.images} images, into {run.path}")  # fmt: skip
        if space.covered:
            self.line("the budget covers the largest network of the space: nothing is filled up to it")

    def started(self, number: int, candidate: Any, fidelity: Any) -> None:
        """A training of a trial begins."""
        size = candidate.spec.input[1]
        self._current = (
            f"trial {number}: {size}×{size} input, {len(candidate.spec.stages)} stages, {fidelity.epochs} epochs"
        )
        self._cost, self._done, self._of = candidate.cost, 0, fidelity.epochs

    def epoch(self, epoch: Any, epochs: int) -> None:
        """An epoch of any training ended."""
        self._done, self._of = epoch.number, epochs

    def finished(self, outcome: Any) -> None:
        """A trial ended."""
        self._counts[outcome.state] = self._counts.get(outcome.state, 0) + 1
        score = "" if outcome.score is None else f" {outcome.score:.2%} after {outcome.epochs} epochs"
        if outcome.scores and (
            self._best is None or (outcome.epochs, outcome.score) > (self._best.epochs, self._best.score)
        ):
            self._best = outcome
        if not self.is_live:
            self.line(f"trial {outcome.number}: {outcome.state}{score} {outcome.reason}".rstrip())
        elif outcome.state == "failed":
            self.line(f"trial {outcome.number} failed: {outcome.reason}")

    def retraining(self, candidate: Any, epochs: int) -> None:
        """The final training begins."""
        self._phase, self._cost, self._done, self._of = (
            "training the best network from scratch",
            candidate.cost,
            0,
            epochs,
        )
        self._current = f"{epochs} epochs on the whole training side"
        self.line(f"training the best network from scratch: {epochs} epochs")

    def render(self) -> RenderableType:
        """How things stand."""
        rows = key_value_grid()
        rows.add_row(self._phase, Text(self._current))
        rows.add_row("", ProgressBar(total=self._of, completed=self._done, width=50))
        if self._cost is not None and self._budget is not None:
            for limit in self._budget.limits:
                used = limit.resource.largest_count(self._cost)
                rows.add_row(
                    "cost",
                    Text(f"{human(used)} of {human(limit.upper)} {limit.resource.label} ({used / limit.upper:.1%})"),
                )
        if self._best is not None:
            rows.add_row(
                "best so far",
                Text(f"{self._best.score:.2%} after {self._best.epochs} epochs (trial {self._best.number})"),
            )
        counted = ", ".join(f"{count} {state}" for state, count in list(self._counts.items()))
        rows.add_row("trials", Text(counted or "none yet"))
        rows.add_row("time", Text(self._time()))
        return Group(rows)

    def _time(self) -> str:
        if self._clock is None:
            return ""
        left = self._clock.left()
        spent = format_duration(self._clock.elapsed())
        if left is None:
            return f"{spent} spent, {sum(self._counts.values())} of {self._settings.trials} trials"
        return f"{spent} spent, {format_duration(max(left, 0))} left"


def search_table(report: Mapping[str, Any], outcomes: list[Mapping[str, Any]]) -> Table:
    """The best networks of a search, from report.json and the rows of trials.csv."""
    rows = table("trial", "FLOPs", "params", "int8 weights", "int8 RAM", "epochs", "val accuracy", left=())
    scored = [row for row in outcomes if row["validation_accuracy"] and row["state"] in ("complete", "pruned")]
    scored.sort(key=lambda row: (-int(row["fidelity"]), -float(row["validation_accuracy"])))
    for row in scored[:5]:
        style = "bold green" if int(row["number"]) == report["best"]["trial"] else ""
        rows.add_row(
            row["number"],
            human(int(row["macs"])),
            human(int(row["params"])),
            human(int(row["weight_bytes"])) + "B",
            human(int(row["peak_activations"])) + "B",
            row["fidelity"],
            f"{float(row['validation_accuracy']):.2%}",
            style=style,
        )
    return rows


def summary(report: Mapping[str, Any]) -> str:
    """One line: accuracy, interval, cost."""
    test, total = report["best"]["test"]["accuracy"], report["network"]["cost"]
    return (
        f"test accuracy {test['mean']:.2%} (95 % interval {test['low']:.2%} to {test['high']:.2%}), "
        f"{human(total['macs'])} FLOPs, {human(total['params'])} params"
    )
