"""What people see on the terminal: the live view of a search, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightcnn.budget import Budget, human
from lightcnn.page import visible
from lightcnn.searching.watcher import Watcher


class SearchView(Watcher):
    """A `Watcher` that shows a search: live on a terminal, a line a trial elsewhere, nothing when quiet."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._budget: Budget | None = None
        self._clock: Any = None
        self._settings: Any = None
        self._current = ""
        self._cost: Any = None
        self._done, self._of = 0, 1
        self._best: Any = None
        self._counts: dict[str, int] = {}
        self._phase = "reading images"
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def __enter__(self) -> SearchView:
        if not self._quiet and self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def reading(self, what: str, done: int, total: int) -> None:
        """What is being done to the images, and to how many so far."""
        self._phase, self._current, self._done, self._of = what, f"{done} of {total} images", done, total

    def planned(self, run: Any, space: Any, plan: Any, clock: Any, settings: Any) -> None:
        """The search begins, or goes on."""
        self._budget, self._clock, self._settings, self._phase = space.budget, clock, settings, "searching"
        epochs = ", ".join(map(str, plan.rungs.epochs))
        self._line(f"searching {space.space.name} under {space.budget} on {settings.data}: "
                   f"trainings of {epochs} epochs on {plan.images} images, into {run.path}")  # fmt: skip
        if space.covered:
            self._line("the budget covers the largest network of the space: nothing is filled up to it")

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
        if not self._live.is_started:
            self._line(f"trial {outcome.number}: {outcome.state}{score} {outcome.reason}".rstrip())
        elif outcome.state == "failed":
            self._line(f"trial {outcome.number} failed: {outcome.reason}")

    def retraining(self, candidate: Any, epochs: int) -> None:
        """The final training begins."""
        self._phase, self._cost, self._done, self._of = (
            "training the best network from scratch",
            candidate.cost,
            0,
            epochs,
        )
        self._current = f"{epochs} epochs on the whole training side"
        self._line(f"training the best network from scratch: {epochs} epochs")

    def _line(self, text: str) -> None:
        if not self._quiet:
            self._console.print(Text(text), soft_wrap=True)

    def _render(self) -> RenderableType:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim")
        rows.add_column()
        rows.add_row(self._phase, Text(self._current))
        rows.add_row("", ProgressBar(total=self._of, completed=self._done, width=50))
        if self._cost is not None and self._budget is not None:
            for limit in self._budget.limits:
                used = limit.resource.most(self._cost)
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
        spent = _clock(self._clock.elapsed())
        if left is None:
            return f"{spent} spent, {sum(self._counts.values())} of {self._settings.trials} trials"
        return f"{spent} spent, {_clock(max(left, 0))} left"


class StepsView:
    """A bar on a terminal for each step of reading and looking; nothing elsewhere, and nothing when quiet."""

    def __init__(self, console: Console, quiet: bool) -> None:
        shown = console.is_terminal and not quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not shown)
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> StepsView:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def progress(self, what: str, done: int, total: int) -> None:
        """What is being done, how many are done, and how many there are."""
        if what not in self._steps:
            self._steps[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._steps[what], completed=done, total=total)


FINDINGS = {
    "corrupt": "files that cannot be used",
    "cross_class": "clusters under more than one class",
    "cross_split": "sources on more than one given side",
    "exact_duplicates": "clusters of equal pixels",
    "near_duplicates": "clusters of near duplicates",
}


def audit_tables(report: Mapping[str, Any]) -> Group:
    """Classes, findings with their first examples, and groups, from an audit's report.json."""
    classes = _table("class", "images")
    for name, count in list(report["counts"]["classes"].items())[:20]:
        classes.add_row(Text(visible(name)), f"{count:,}")
    if len(report["counts"]["classes"]) > 20:
        classes.add_row(f"and {len(report['counts']['classes']) - 20:,} more", "")
    found = _table("found", "", "for example", left=(0, 2))
    for name, title in FINDINGS.items():
        unseen = name == "near_duplicates" and not report["near_searched"]
        found.add_row(title, "not looked for" if unseen else f"{len(report[name]):,}", _example(report[name]))
    groups = _table("groups", "images of the largest", "known from", left=(2,))
    held = report["groups"]
    groups.add_row(f"{held['count']:,}", f"{held['largest']:,}", held["source"])
    return Group(classes, Text(), found, Text(), groups)


def _example(found: list[Any]) -> Text:
    """The first of what was found, in a few words."""
    if not found:
        return Text()
    first = found[0]
    if isinstance(first, dict):
        return Text(visible(f"{first['path']} {first['reason']}"))
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return Text(visible(", ".join(first[:3]) + more))


def _table(*names: str, left: tuple[int, ...] = (0,)) -> Table:
    table = Table(title=None, box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place in left else "right", overflow="fold")
    return table


def search_table(report: Mapping[str, Any], outcomes: list[Mapping[str, Any]]) -> Table:
    """The best networks of a search, from report.json and the rows of trials.csv."""
    table = Table(title=None, box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "FLOPs", "params", "int8 weights", "int8 RAM", "epochs", "val accuracy"):
        table.add_column(name, justify="right")
    scored = [row for row in outcomes if row["validation_accuracy"] and row["state"] in ("complete", "pruned")]
    scored.sort(key=lambda row: (-int(row["fidelity"]), -float(row["validation_accuracy"])))
    for row in scored[:5]:
        style = "bold green" if int(row["number"]) == report["best"]["trial"] else ""
        table.add_row(
            row["number"],
            human(int(row["macs"])),
            human(int(row["params"])),
            human(int(row["weight_bytes"])) + "B",
            human(int(row["peak_activations"])) + "B",
            row["fidelity"],
            f"{float(row['validation_accuracy']):.2%}",
            style=style,
        )
    return table


def summary(report: Mapping[str, Any]) -> str:
    """One line: accuracy, interval, cost."""
    test, total = report["best"]["test"]["accuracy"], report["network"]["cost"]
    return (
        f"test accuracy {test['mean']:.2%} (95 % interval {test['low']:.2%} to {test['high']:.2%}), "
        f"{human(total['macs'])} FLOPs, {human(total['params'])} params"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
