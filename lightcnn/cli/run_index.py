"""The runs in a folder as a table on the terminal, and as a page with drawings and links."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from lightcnn.baseline_spec import load_network
from lightcnn.budget import human
from lightcnn.errors import InputError, LightcnnError
from lightcnn.network_stages import spec_stages
from lightcnn.output import html
from lightcnn.output.charts.network_drawing import network_thumbnail
from lightcnn.output.terminal import COMPACT, fitting_columns, table
from lightcnn.run_files import VALUE_ERRORS, replace_file
from lightcnn.run_folder import RunFolder
from lightcnn.run_list import ListedRun
from lightcnn.spec import NetworkSpec
from lightcnn.text import shorten, visible

COLUMNS = ("run", "command", "data", "budget", "test accuracy", "FLOPs", "params", "state", "age")
NUMBERS = ("test accuracy", "FLOPs", "params", "age")
"""Columns of the table that are aligned to the right."""
WIDE_ONLY = ("params", "budget", "data")
"""Columns that only a wide terminal has; they are left out in this order."""
MAX_CELL_LETTERS = 40
TITLE = "lightcnn list runs"
"""The beginning of the page's title, by which a page is recognised that may be replaced."""
MAX_TITLE_BYTES = 4_000
"""Bytes from the start of a page that contain its title."""
TEMPLATE = "cli/runs_page.html"
HEADER = (
    "run", "network", "command", "data", "budget", "test accuracy", "FLOPs", "parameters", "state", "date"
)  # fmt: skip
BADGES = {"finished": "passed", "damaged": "failed", "unfinished": "warning"}
"""State of a run → kind of its badge on the page; a running one has a neutral badge."""


def runs_table(runs: Sequence[ListedRun], *, width: int) -> Table:
    """One row per run; on a narrow terminal without data, budget and parameters."""
    cells = [[shorten(visible(text), MAX_CELL_LETTERS) for text in _cells(run)] for run in runs]
    places = fitting_columns(COLUMNS, cells, (*WIDE_ONLY, "age", "FLOPs"), width)
    shown = [place for place in places if width >= COMPACT or COLUMNS[place] not in WIDE_ONLY]
    left = tuple(index for index, place in enumerate(shown) if COLUMNS[place] not in NUMBERS)
    rows = table(*(COLUMNS[place] for place in shown), left=left)
    for row in cells:
        rows.add_row(*(Text(row[place]) for place in shown))
    return rows


def note_lines(runs: Sequence[ListedRun]) -> list[str]:
    """Why runs are damaged, in one line each; and where the results of shared searches are, in one line each."""
    results = dict.fromkeys(f"{_state(run)}: for the result, see {run.result}" for run in runs if run.result)
    return [*(f"damaged: {run.problem}" for run in runs if run.problem), *results]


def write_page(file: Path, folder: Path, runs: Sequence[ListedRun]) -> None:
    """Writes the page; only an earlier page of this command is replaced. Raises: InputError."""
    try:
        if os.path.lexists(file) and f"<title>{TITLE}".encode() not in _start(file):
            raise InputError(
                f"--html {visible(str(file))}: exists, and is no page of this command; choose another name"
            )
        replace_file(file, runs_page(folder, runs, base=file.parent))
    except OSError as error:
        raise InputError(f"--html {file}: cannot be written ({error.strerror})") from None


def runs_page(folder: Path, runs: Sequence[ListedRun], *, base: Path) -> bytes:
    """The page with a row per run. Its links are relative to the folder `base`."""
    context = {
        "folder": folder, "header": HEADER, "summary": f"{count_text(runs)}, the latest first.",
        "notes": note_lines(runs), "runs": [_row(run, base) for run in runs],
    }  # fmt: skip
    return html.render(TEMPLATE, f"{TITLE}: {folder}", context)


def count_text(runs: Sequence[ListedRun]) -> str:
    """The number of runs, such as `1 run`."""
    return f"{len(runs):,} run" + "s" * (len(runs) != 1)


def _cells(run: ListedRun) -> tuple[str, ...]:
    return (
        run.name, run.command, run.data, run.budget, str(run.accuracy or ""), _human(run.macs), _human(run.params),
        _state(run), _age(time.time() - run.modified),
    )  # fmt: skip


def _state(run: ListedRun) -> str:
    return f"member of {run.study}" if run.study else run.state


def _row(run: ListedRun, base: Path) -> dict[str, Any]:
    """The values of a run that the page shows."""
    return asdict(run) | {
        "link": _link(run, base), "drawing": _thumbnail(run), "macs_text": _human(run.macs),
        "params_text": _human(run.params), "badge": BADGES.get(run.state, ""), "date": _date(run.modified),
        "state": _state(run),
    }  # fmt: skip


def _link(run: ListedRun, base: Path) -> str:
    """The address of the page of the run; empty if it has none."""
    try:
        if not (RunFolder(run.path) / "report.html").is_file():
            return ""
    except (OSError, LightcnnError):
        return ""
    return f"./{quote(os.fsencode(os.path.relpath(run.path / 'report.html', base)))}"


def _thumbnail(run: ListedRun) -> Markup:
    """A small drawing of the network of the run; empty if it has none that can be drawn."""
    try:
        network = load_network(RunFolder(run.path) / "spec.yaml")
        if isinstance(network, NetworkSpec):
            return network_thumbnail(spec_stages(network))
    except (OSError, LightcnnError, *VALUE_ERRORS):
        pass
    return Markup()


def _start(file: Path) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(MAX_TITLE_BYTES)


def _human(count: int | None) -> str:
    return "" if count is None else human(count)


def _age(seconds: float) -> str:
    """An age in its largest unit, such as 3 h."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _date(seconds: float) -> str:
    """A local date and time; empty for a time that no calendar has."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OSError, *VALUE_ERRORS):
        return ""
