"""Signals to commands that cannot be resumed: one line, the exit code of the signal, and no files left."""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import TESTS
from helpers.stopping import CODES, stopped, temporary_files
from PIL import Image

SIGNALS = ((signal.SIGINT,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM,), (signal.SIGHUP, signal.SIGINT))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of two classes, and runs."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for label in ("bright", "dark"):
        (folder / "photographs" / label).mkdir(parents=True)
        for _ in range(12):
            pixels = random.integers(0, 120, (64, 64, 3)) + 120 * (label == "bright")
            name = f"{random.integers(1 << 40):x}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photographs" / label / name)
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as archive:
        archive.extractall(folder / "runs")
    (folder / "runs" / "train").rename(folder / "runs" / "one")
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as archive:
        archive.extractall(folder / "runs")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))


COMMANDS = {
    "audit": ["audit", "{files}/photographs", "--out", "out"],
    "compare": ["compare", "{files}/runs/train", "{files}/runs/one", "--out", "out"],
    "predict": ["predict", "{files}/runs/train", "{files}/photographs", "--csv", "out.csv"],
    "profile": ["profile", "{files}/runs/train", "--out", "out"],
}
READING = "lightcnn.data.sources.read_files:decode"  # in worker threads
DESCRIBING = "lightcnn.data.grouping.sift:_described"  # in worker threads
FSYNC = "os:fsync"
MOMENTS = [
    ("audit", READING, 5), ("audit", DESCRIBING, 3), ("audit", "lightcnn.data.grouping.similar:_verified", 1),
    ("audit", "lightcnn.auditing.job:audit_page", 1), ("audit", FSYNC, 1), ("audit", FSYNC, 4),
    ("compare", "lightcnn.comparing.run_predictions:_row", 3), ("compare", FSYNC, 2),
    ("predict", "lightcnn.data.stream:decode", 2), ("predict", "lightcnn.predicting.outputs:Csv.add", 2),
    ("profile", FSYNC, 1),
]  # fmt: skip
"""Moments of commands that cannot be resumed."""


@pytest.mark.parametrize(("command", "place", "call"), MOMENTS)
def test_a_signal_that_ends_a_command_leaves_nothing(command, place, call, files, tmp_path, capfd):
    numbers = SIGNALS[MOMENTS.index((command, place, call)) % len(SIGNALS)]
    arguments = [part.format(files=files) for part in COMMANDS[command]]
    assert stopped(arguments, place, call, numbers) == CODES[numbers[0]]
    assert capfd.readouterr().err == "lightcnn: interrupted\n"
    assert not (tmp_path / "out").exists()
    assert not temporary_files(tmp_path)
    if command == "predict":
        lines = (tmp_path / "out.csv").read_text().splitlines(keepends=True)
        assert all(line.endswith("\n") and line.count(",") == lines[0].count(",") for line in lines)
