"""What the shell offers, and the example at the end of every help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightcnn.cli import completion
from lightcnn.cli.main import COMMANDS, EXAMPLES, run
from lightcnn.run_folder import RunFolder


def test_shipped_names_and_run_folders_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/first", "runs/a\x1b[2J", "elsewhere/second"):
        RunFolder.create(name, "audit", {})
    assert completion.recipes("qu") == ["quick"]
    assert completion.spaces("mob") == ["mobilenet"]
    assert completion.spaces("au") == ["auto"]
    assert completion.data_sets("fash") == ["fashion-mnist"]
    assert completion.targets("mobilenetv2") == ["mobilenetv2"]
    assert completion.run_folders("") == ["runs/first"]
    assert completion.run_folders("elsewhere/s") == ["elsewhere/second"]
    assert completion.recipes("runs/f") == completion.recipes("runs/") == ["runs/first"]
    assert completion.run_folders("./runs/") == ["./runs/first"]
    assert completion.run_folders(f"{tmp_path}/runs/") == [f"{tmp_path}/runs/first"]


def test_the_shell_gets_them_without_torch() -> None:
    line = (
        "import sys; sys.argv = ['lightcnn']; from lightcnn.__main__ import main\n"
        "try: main()\nfinally: assert 'torch' not in sys.modules"
    )
    environment = os.environ | {
        "_LIGHTCNN_COMPLETE": "complete_bash",
        "COMP_WORDS": "lightcnn train q",
        "COMP_CWORD": "2",
    }
    process = subprocess.run([sys.executable, "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert process.stdout.split() == ["quick"], process.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"Example: {EXAMPLES[command]}" in " ".join(capsys.readouterr().out.split())
    assert EXAMPLES[command].startswith(f"lightcnn {command} ")
