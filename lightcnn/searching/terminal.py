"""What people see of a search: the live view, the dry run, the table of the best networks, the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightcnn import interrupt
from lightcnn.budget import Budget, Cost, human
from lightcnn.output.console import CommandConsole
from lightcnn.output.largest_class import largest_class_clause
from lightcnn.output.terminal import LiveView, format_duration, key_value_grid, table
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.settings import SearchSettings

MAX_NETWORKS = 5
"""Networks in the table of the best."""


class SearchView(LiveView, SearchProgress):
    """Shows a search: live on a terminal, elsewhere one line per trial, nothing when quiet."""

    def __init__(self, console: CommandConsole, quiet: bool) -> None:
        super().__init__(console, quiet)
        self._budget: Budget | None = None
        self._clock: Any = None
        self._settings: Any = None
        self._current = ""
        self._cost: Any = None
        self._completed, self._total = 0, 1
        self._best: Any = None
        self._counts: dict[str, int] = {}
        self._phase, self._read = "reading images", ""

    def reading(self, what: str, done: int, total: int) -> None:
        """Shows the step and how many images are done."""
        interrupt.check()
        self.announce(what, done, total)
        self._phase, self._current, self._completed, self._total = what, f"{done:,} of {total:,} images", done, total

    def read(self, images: int, seconds: float) -> None:
        """Keeps how long reading took, for when nothing can be refused any more."""
        self._read = f"{images:,} images were read in {seconds:.1f} s, which --time does not include"

    def planned(self, run: Any, space: Any, plan: Any, clock: Any, settings: Any) -> None:
        """Shows what is searched."""
        self._budget, self._clock, self._settings, self._phase = space.budget, clock, settings, "searching"
        epochs = ", ".join(map(str, plan.rungs.epochs))
        self.line(self._read)
        self.line(f"searching {space.space.name} within {space.budget} on {settings.data}: "
                   f"trainings of {epochs} epochs on {plan.images} images, into {run.path}")  # fmt: skip
        if space.covered:
            self.line("the budget admits the largest network of the space, so networks are not scaled up to it")

    def started(self, number: int, candidate: Any, fidelity: Any) -> None:
        """Shows the network that is trained."""
        size = candidate.spec.input[1]
        self._current = (
            f"trial {number}: {size}×{size} input, {len(candidate.spec.stages)} stages, {fidelity.epochs} epochs"
        )
        self._cost, self._completed, self._total = candidate.cost, 0, fidelity.epochs

    def epoch(self, epoch: Any, epochs: int) -> None:
        """Shows how many epochs are done."""
        self._completed, self._total = epoch.number, epochs

    def finished(self, outcome: Any) -> None:
        """Shows the result of a trial: as a line if there is no live view or the trial failed."""
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
        """Shows the final training."""
        self._phase, self._cost = "training the best network from scratch", candidate.cost
        self._completed, self._total = 0, epochs
        self._current = f"{epochs} epochs on the whole training set"
        self.line(f"training the best network from scratch: {epochs} epochs")

    def render(self) -> RenderableType:
        """The current state of the search."""
        rows = key_value_grid()
        rows.add_row(self._phase, Text(self._current))
        rows.add_row("", ProgressBar(total=self._total, completed=self._completed, width=50))
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
        rows.add_row("time", Text(self._format_time()))
        return Group(rows)

    def _format_time(self) -> str:
        """Time spent, and what is left: seconds, or trials without a time limit."""
        if self._clock is None:
            return ""
        left = self._clock.left()
        spent = format_duration(self._clock.elapsed())
        if left is None:
            return f"{spent} spent, {sum(self._counts.values())} of {self._settings.trials} trials"
        return f"{spent} spent, {format_duration(max(left, 0))} left"


def format_estimate(document: Mapping[str, Any], settings: SearchSettings) -> list[str]:
    """The lines of a dry run, from its document."""
    space, first = document["space"], document["first"]
    counts = ", ".join(f"{count} {name}" for name, count in document["data"]["counts"].items())
    limits = [f"{settings.trials} trials"] if settings.trials else []
    limits += [f"{settings.seconds:g} seconds"] if settings.seconds else []
    return [
        f"data    {settings.data}: {counts}",
        f"space   {space['name']}: {space['genes']} genes, "
        f"{human(space['smallest']['macs'])} to {human(space['largest']['macs'])} FLOPs",
        f"budget  {Budget.parse(settings.budget)}",
        f"first   {_cost(first) if first else 'a random network: the start of the space does not fit the budget'}",
        f"ends    after {' or '.join(limits)}; nothing was trained",
    ]


def _cost(document: Mapping[str, Any]) -> Cost:
    """The part of a cost that people read, from the document of a cost."""
    return Cost(
        macs=document["macs"],
        params=document["params"],
        weight_bytes_int8=document["weight_bytes"]["int8"],
        peak_activations=document["peak_activations"],
    )


def search_table(report: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> Table:
    """The best networks of a search, from report.json and the rows of trials.csv."""
    rows = table("trial", "FLOPs", "params", "int8 weights", "int8 RAM", "epochs", "val accuracy", left=())
    scored = [row for row in trials if row["validation_accuracy"] and row["state"] in ("complete", "pruned")]
    scored.sort(key=lambda row: (-int(row["fidelity"]), -float(row["validation_accuracy"])))
    for row in scored[:MAX_NETWORKS]:
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
        f"test accuracy {test['mean']:.2%} (95 % interval {test['low']:.2%} to {test['high']:.2%}"
        f"{largest_class_clause(report['metrics']['test'])}), "
        f"{human(total['macs'])} FLOPs, {human(total['params'])} params"
    )
