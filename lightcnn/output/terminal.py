"""Views of running commands: a live view or progress bars on a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Self, TypeVar

from rich.cells import cell_len
from rich.console import RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from lightcnn import interrupt
from lightcnn.errors import InputError
from lightcnn.output.console import CommandConsole
from lightcnn.progress import DUPLICATES_STEP, Progress
from lightcnn.text import visible

COMPACT = 100
"""Columns of a terminal below which tables have a compact form."""
COLUMN_GAP = 2
"""Spaces between the columns of a table."""
Receiver = TypeVar("Receiver")
MIN_ANNOUNCED = 100
"""Fewest images whose search is announced by commands that print no lines while they work: 100 take about 2 s."""


def announcement(step: str, finished: int, total: int) -> str:
    """The line that announces a search for near duplicates; empty for other steps, and once it has started."""
    return f"{step} among {total:,} images" if step == DUPLICATES_STEP and not finished else ""


class LiveView(ABC):
    """Shows the result of `render` on a terminal but not in a notebook, four times per second while a command runs."""

    def __init__(self, console: CommandConsole, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_live:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self.render)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def is_live(self) -> bool:
        """Whether the live view is shown."""
        return self._live is not None

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        if not self._quiet:
            self._console.print_line(text)

    def warn(self, text: str) -> None:
        """Prints a warning that stays."""
        self.line(f"warning: {text}")

    def announce(self, step: str, finished: int, total: int) -> None:
        """Prints a line that stays if a search for near duplicates starts."""
        if text := announcement(step, finished, total):
            self.line(text)

    def show(self, renderable: RenderableType) -> None:
        """Prints a panel or a table that stays."""
        if not self._quiet:
            self._console.print(renderable)

    @abstractmethod
    def render(self) -> RenderableType:
        """The current state, to be shown live."""


class StepsView:
    """A progress bar for each step of a command, on a terminal only and not when quiet.

    A search for near duplicates among MIN_ANNOUNCED or more images is announced in a line that stays, unless quiet.
    """

    def __init__(self, console: CommandConsole, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        visible_bars = console.is_live and not quiet
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=console, transient=True, disable=not visible_bars)
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, step: str, finished: int, total: int) -> None:
        """Shows how many of `total` items a step has finished. A signal that was dropped elsewhere ends it here."""
        interrupt.check()
        text = announcement(step, finished, total)
        if text and total >= MIN_ANNOUNCED and not self._quiet:
            self._console.print_line(text)
        if step not in self._steps:
            self._steps[step] = self._bars.add_task(visible(step), total=total)
        self._bars.update(self._steps[step], completed=finished, total=total)


def receiver(
    progress: bool | Progress,
    silent: Receiver,
    called: Callable[[Progress], Receiver],
    view: Callable[[CommandConsole, bool], AbstractContextManager[Receiver]],
) -> AbstractContextManager[Receiver]:
    """What a job reports to, for the argument `progress` of a function: `silent` for False, a `view` for True.

    `called` makes it of a function of (step, done, total). Raises: InputError for any other value.
    """
    if isinstance(progress, bool):
        return view(CommandConsole(stderr=True), False) if progress else nullcontext(silent)
    if not callable(progress):
        raise InputError(f"progress: must be True, False or a function of (step, done, total), not {progress!r}")
    return nullcontext(called(progress))


def key_value_grid() -> Table:
    """An empty grid of names and values."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    return grid


def table(*names: str, left: tuple[int, ...] = (0,)) -> Table:
    """An empty table with these columns; `left` are the indices of those that are left-aligned."""
    empty = Table(title=None, box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(names):
        empty.add_column(name, justify="left" if index in left else "right", overflow="fold")
    return empty


def fitting_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], optional: Iterable[str], width: int
) -> list[int]:
    """The places of the columns of a `table` that fit into `width` characters.

    As long as the table is too wide, the columns of `optional` are left out, in this order.
    """
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    places = list(range(len(header)))
    for name in optional:
        if sum(widths[place] + COLUMN_GAP for place in places) - COLUMN_GAP <= width:
            break
        places = [place for place in places if header[place] != name]
    return places


def fitted_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    optional: Iterable[str],
    width: int,
    left: Sequence[str] = (),
    styles: Sequence[str] = (),
) -> Table:
    """A table without as many columns of `optional` as needed to fit, as `fitting_columns`.

    `left` are the names of columns that are left-aligned, `styles` those of the rows, if any.
    """
    places = fitting_columns(header, rows, optional, width)
    shown = table(
        *(header[place] for place in places), left=tuple(n for n, place in enumerate(places) if header[place] in left)
    )
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        shown.add_row(*(Text(row[place]) for place in places), style=style)
    return shown


def format_duration(seconds: float) -> str:
    """A duration as minutes and seconds, or as hours, minutes and seconds."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
