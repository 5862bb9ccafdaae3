"""How every view shows what happens: a live picture or bars on a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lightcnn.text import visible


class LiveView(ABC):
    """What `render` gives, drawn anew four times a second while a command works on a terminal."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self.render)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def is_live(self) -> bool:
        """Whether there is a live picture."""
        return self._live is not None

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(Text(visible(text)), soft_wrap=True)

    def show(self, what: RenderableType) -> None:
        """Something that stays."""
        if not self._quiet:
            self._console.print(what)

    @abstractmethod
    def render(self) -> RenderableType:
        """How things stand."""


class StepsView:
    """A bar on a terminal for each step of reading and looking; nothing elsewhere, and nothing when quiet."""

    def __init__(self, console: Console, quiet: bool) -> None:
        shown = console.is_terminal and not quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not shown)
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def progress(self, what: str, done: int, total: int) -> None:
        """What is being done, how many are done, and how many there are."""
        if what not in self._steps:
            self._steps[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._steps[what], completed=done, total=total)


def key_value_grid() -> Table:
    """An empty grid of names and values."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    return grid


def table(*names: str, left: tuple[int, ...] = (0,)) -> Table:
    """An empty table with these columns; those not on the `left` are numbers."""
    empty = Table(title=None, box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        empty.add_column(name, justify="left" if place in left else "right", overflow="fold")
    return empty


def format_duration(seconds: float) -> str:
    """Minutes and seconds, hours where there are any."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
