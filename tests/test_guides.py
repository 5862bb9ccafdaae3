"""The guides do what they show: every command and every line of Python in them runs, and prints what they quote.

`python tests/test_guides.py docs/guides/NAME.md` runs one guide in a temporary folder and shows everything it prints.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import ROOT

from lightcnn.cli import main

pytestmark = pytest.mark.usefixtures("undrawn_charts")

ELSEWHERE = {"cluster": "tests/searching/shared/test_cluster_guide.py"}
"""Guides that need more than one process, and their tests."""
GUIDES = sorted(path for path in (ROOT / "docs" / "guides").glob("*.md") if path.stem not in ELSEWHERE)
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "8000"
"""The port in guides, for which tests take a free one."""
FILE = re.compile(r"# (\S+\.yaml)\n")
"""The first line of a YAML block that the reader saves as a file."""
PATH = re.compile(r"`((?:lightcnn|tests|docs|recipes|search_spaces)/[\w./-]*)`")


def run_guide(guide: Path, read_output: Callable[[], str]) -> int:
    """Runs the blocks of a guide in order in the current folder, checks each quoted output, and counts the quotes.

    `read_output` returns what was printed since its last call. A `text` block quotes lines of the output of the block
    before it, in order; `…` in it matches any text, and a run of spaces any other.
    """
    with ExitStack() as servers:
        return _run_blocks(guide, read_output, servers)


def _run_blocks(guide: Path, read_output: Callable[[], str], servers: ExitStack) -> int:
    """Runs the blocks; the servers that they start end when `servers` is closed."""
    namespace: dict[str, Any] = {"__name__": "guide"}
    output, quotes, port = "", 0, free_port()
    for language, text in FENCE.findall(guide.read_text(encoding="utf-8").replace(PORT, str(port))):
        if language == "sh":
            first_lines = [run_line(line, servers) for line in text.splitlines()]
            output = read_output() + "".join(first_lines)
        elif language == "python":
            exec(compile(text, guide.name, "exec", dont_inherit=True), namespace)
            output = read_output()
        elif language == "yaml":
            name = FILE.match(text)
            assert name, f"a YAML block begins with the name of its file: {text.splitlines()[0]}"
            Path(name[1]).write_text(text, encoding="utf-8")
        elif language == "text":
            check_quotes(text, output)
            quotes += 1
        else:
            assert language == "", f"{guide.name}: a block is sh, python, yaml, text, or for the eye only"
    return quotes


def run_command(line: str) -> None:
    """Runs one line of a shell block, which must be a lightcnn command that succeeds."""
    words = shlex.split(line, comments=True)
    assert words[0] == "lightcnn", f"{line}: a guide runs lightcnn only"
    assert main.run(words[1:]) == 0, line


def run_line(line: str, servers: ExitStack) -> str:
    """Runs a command, or starts one that ends in `&`; returns the first line that the latter prints."""
    if line.endswith(" &"):
        return servers.enter_context(started_server(line.removesuffix(" &")))
    run_command(line)
    return ""


@contextmanager
def started_server(line: str) -> Iterator[str]:
    """Starts a command that a shell would run in the background; yields its first line, and ends it by SIGTERM."""
    words = shlex.split(line)
    assert words[:2] == ["lightcnn", "serve"], f"{line}: only lightcnn serve runs in the background"
    command = [sys.executable, "-m", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def free_port() -> int:
    """A port of this machine that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_quotes(text: str, output: str) -> None:
    """Raises: AssertionError if a quoted line is not in the output, after the lines quoted before it."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    for quote in text.splitlines():
        pattern = ".*".join(re.escape(part) for part in " ".join(quote.split()).split("…"))
        place = next((place for place, line in enumerate(lines) if re.fullmatch(pattern, line)), None)
        assert place is not None, f"{quote!r} was not printed; the output is:\n{output}"
        del lines[: place + 1]


def test_there_are_as_many_guides_as_we_think() -> None:
    assert [guide.stem for guide in GUIDES] == [
        "deploy",
        "extend",
        "search-and-read-the-report",
        "serve",
        "train-on-your-own-folder",
    ]
    assert all((ROOT / "docs" / "guides" / f"{name}.md").is_file() for name in ELSEWHERE)
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_does_what_it_shows(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    assert run_guide(guide, lambda: "".join(capsys.readouterr())) >= 1, "the guide quotes no output"


def test_the_files_that_the_guides_name_exist() -> None:
    paths = {path for guide in GUIDES for path in PATH.findall(guide.read_text(encoding="utf-8"))}
    assert len(paths) > 15
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_a_quote_that_was_not_printed_is_found() -> None:
    output = "first  line\n\nsecond line 0.123 s\nthird\n"
    check_quotes("first line\nsecond line … s\n", output)
    for quote in ("first\n", "third\nfirst line\n", "second line … ms\n"):
        with pytest.raises(AssertionError, match="was not printed"):
            check_quotes(quote, output)


def show(guide: Path) -> None:
    """Runs a guide in a temporary folder with its output on the terminal; quotes are not checked."""
    text = re.sub(r"^```text\n.*?^```$", "", guide.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path(guide.name).write_text(text, encoding="utf-8")
        run_guide(Path(guide.name), str)


if __name__ == "__main__":
    show(Path(sys.argv[1]).resolve())
