"""What all commands print: on a full device, in a pipe, in a notebook, and with untrusted names."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.prediction_runs import predicted, write_run
from rich.text import Text

from lightcnn.output.console import NOTEBOOK, CommandConsole
from lightcnn.output.terminal import StepsView, table

FULL = Path("/dev/full")


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments", [["list", "recipes"], ["check", "quick.yaml", "--json"], ["--help"], ["--version"]]
)
def test_a_full_device_ends_a_command_with_one_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text("a: 1")
    with FULL.open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "lightcnn", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert process.returncode == 1
    assert process.stderr == (
        "lightcnn: the output cannot be printed (No space left on device); send stdout elsewhere\n"
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("redirection", "code", "lines"),
    [
        ("> /dev/full", 1, ["lightcnn: the output cannot be printed (No space left on device); send stdout elsewhere"]),
        (">&-", 0, []),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        "compare a b --out c",
        pytest.param("search --budget 20kparams --dry-run", marks=pytest.mark.long),
        pytest.param("ablate quick --over augmentation --dry-run", marks=pytest.mark.long),
    ],
)
def test_commands_that_take_long_end_with_a_line_or_in_silence(
    arguments: str, redirection: str, code: int, lines: list[str], tmp_path: Path
) -> None:
    for name, wrong in (("a", [1]), ("b", [2, 3])):
        write_run(tmp_path / name, predicted(wrong))
    line = f"{sys.executable} -m lightcnn {arguments} {redirection}"
    process = subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    printed = [text for text in process.stderr.splitlines() if not text.startswith(("note: ", "warning: "))]
    assert (process.returncode, printed) == (code, lines)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("closed", "code"), [("list recipes >&-", 0), ("list recipes >&- 2>&-", 0), ("check x 2>&-", 2)]
)
def test_a_stream_that_is_closed_before_the_start_changes_nothing(closed: str, code: int, tmp_path: Path) -> None:
    """As a service or a cron job may start a command."""
    line = f"{sys.executable} -m lightcnn {closed}"
    process = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (process.returncode, process.stderr) == (code, "")


def test_a_table_is_not_wrapped_in_a_pipe() -> None:
    pipe = io.StringIO()
    rows = table("path", "reason")
    rows.add_row(Text("x" * 300), Text("y z " * 100))
    CommandConsole(file=pipe).print(rows)
    assert len(pipe.getvalue().splitlines()) == 2


def test_names_are_escaped_however_they_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for output in (io.StringIO(), Terminal()):
        console = CommandConsole(file=output)
        rows = table("a\x1b]0;title\x07", "\x9b31m")
        rows.add_row("[red]\x1b[31m\u202e", Text("b\x1b[2J"))
        console.print(rows)
        console.print("c\x1b[2J")
        console.print_line("d\x1b[2J\ne")
        printed = output.getvalue()
        assert all(text not in printed for text in ("\x1b]", "\x1b[2J", "\x1b[31m", "\x07", "\x9b", "\u202e"))
        assert all(text in printed for text in ("[red]", r"c\x1b[2J", r"d\x1b[2J\ne"))


@pytest.mark.parametrize("notebook", [False, True])
def test_progress_is_drawn_on_a_terminal_but_not_in_a_notebook(notebook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv(NOTEBOOK, raising=False)
    if notebook:
        monkeypatch.setenv(NOTEBOOK, "1")
    terminal = Terminal()
    with StepsView(CommandConsole(file=terminal), quiet=False) as view:
        view("reading", 1, 2)
    assert bool(terminal.getvalue()) is not notebook


def test_functions_work_with_the_backend_of_a_notebook_and_keep_it(tmp_path: Path) -> None:
    lines = (
        "import os, lightcnn",
        "lightcnn.audit('digits', fast=True, out='audit')",
        "assert os.environ['MPLBACKEND'] == 'module://a_backend.that_is_missing'",
        "import matplotlib",
        "assert matplotlib.rcParams['backend'] == 'module://a_backend.that_is_missing'",
        "from lightcnn.output.charts.plotting import Figure",
    )
    environment = os.environ | {"MPLBACKEND": "module://a_backend.that_is_missing"}
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, env=environment, cwd=tmp_path)
    subprocess.run([sys.executable, "-c", lines[-1]], check=True, env=os.environ | {"MPLBACKEND": "inline"})
