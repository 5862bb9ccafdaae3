"""How the command line reports errors: one line, the right exit code, and a remedy only if there is one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import Any

import pytest
import typer

from lightcnn.cli import main
from lightcnn.errors import InputError, LightcnnError


def failing(error: BaseException) -> Any:
    """A command that accepts files and `--debug`, and raises the error."""

    def command(files: list[str], debug: bool = False) -> None:
        raise error

    return command


def report(
    name: str, error: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str
) -> tuple[int, str]:
    """Exit code and error output of a command line whose command raises the error."""
    app = typer.Typer()
    app.command(name)(failing(error))
    app.command("second")(failing(error))
    monkeypatch.setattr(main, "app", app)
    code = main.run([name, "file", *options])
    return code, capsys.readouterr().err


def test_every_command_is_registered_under_its_name() -> None:
    root: Any = typer.main.get_command(main.app)
    assert list(root.commands) == list(main.COMMANDS)
    assert len(main.COMMANDS) == 14


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (LightcnnError("work"), 1, "lightcnn: work\n"),
        (InputError("input"), 2, "lightcnn: input\n"),
        (KeyboardInterrupt(), 130, "lightcnn: interrupted\n"),
        (
            ValueError("first\nsecond"),
            1,
            "lightcnn: ValueError: first (a bug in lightcnn; run with --debug for the traceback)\n",
        ),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report("check", error, capsys, monkeypatch) == (code, text)


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = report("check", ValueError("x"), capsys, monkeypatch, "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in text
    assert text.splitlines()[-1].startswith("lightcnn: ValueError: x (a bug in lightcnn")


@pytest.mark.parametrize(
    ("command", "number", "remedy"),
    [
        ("train", errno.ENOSPC, "; check the free disk space, then continue with --resume"),
        ("explain", errno.EDQUOT, "; check the free disk space, then continue with --resume"),
        ("audit", errno.ENOSPC, "; check the free disk space"),
        ("predict", errno.ENOSPC, "; check the free disk space"),
        ("train", errno.EACCES, "; check the permissions, then continue with --resume"),
        ("check", errno.EIO, ""),
    ],
)
def test_an_error_of_the_system_has_a_remedy_that_fits(
    command: str,
    number: int,
    remedy: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OSError(number, os.strerror(number), "out/report.json")
    expected = f"lightcnn: out/report.json: {os.strerror(number)}{remedy}\n"
    assert report(command, error, capsys, monkeypatch) == (1, expected)


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        ("check", MemoryError("no room\nat all"), "out of memory (no room); free some memory\n"),
        (
            "search",
            OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
            "out of memory (Cannot allocate memory); free some memory, then start again, with --resume if there is a "
            "run folder\n",
        ),
    ],
)
def test_a_lack_of_memory_is_no_bug(
    command: str, error: Exception, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report(command, error, capsys, monkeypatch) == (1, f"lightcnn: {text}")


@pytest.mark.parametrize("command", ["check", "train"])
def test_problems_of_a_document_are_escaped(command, tmp_path, capfd) -> None:
    file = tmp_path / "x.yaml"
    file.write_text('"a\\e[31m": 1\n"b\\e[31m": 1\nnetwork: 3\n')
    assert main.run([command, str(file)]) == 2
    error = capfd.readouterr().err
    assert "\x1b" not in error
    assert r"a\x1b[31m" in error and r"b\x1b[31m" in error


def test_the_backend_of_a_notebook_does_not_stop_a_process() -> None:
    lines = (
        "import sys; sys.argv = ['x', '--version']",
        "import lightcnn.__main__ as m",
        "try: m.main()",
        "except SystemExit: import matplotlib; print(matplotlib.get_backend())",
    )
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].lower() == "agg"
