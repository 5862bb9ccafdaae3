"""The console of all commands: names are escaped, and lines are wrapped on a terminal only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from lightcnn.text import visible

MAX_COLUMNS = 10_000
"""Width of a table that no terminal limits, in characters."""
NOTEBOOK = "JPY_PARENT_PID"
"""A variable in the environment of the kernel of a notebook, and of the commands that a cell runs."""


class CommandConsole(Console):
    """A console on stdout or stderr. Unprintable characters, which a terminal would obey, are escaped in all output."""

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None, force_terminal: bool | None = None) -> None:
        super().__init__(
            stderr=stderr, file=file, force_terminal=force_terminal, force_jupyter=False, highlight=False,
            markup=False, emoji=False,
        )  # fmt: skip
        if not self.is_terminal:
            self.width = MAX_COLUMNS

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything that is printed, with unprintable characters escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text, keep="\n"))

    def print_line(self, text: str) -> None:
        """Prints one line, which only a terminal breaks."""
        self.print(Text(visible(text)), soft_wrap=True)

    @property
    def is_live(self) -> bool:
        """Whether a view can be drawn again in place: on a terminal, but not in a notebook, which would fill up."""
        return self.is_terminal and NOTEBOOK not in os.environ
