"""Run folders from someone else: runs to tamper with, a secret outside of them, and every command that takes a run."""

from __future__ import annotations

import base64
import shutil
import zipfile
from pathlib import Path
from typing import Any

from helpers.paths import TESTS
from PIL import Image

from lightcnn.cli.main import run

SECRET = b"the secret of a file outside of the run folder"
SEARCH = [
    "search", "--data", "synthetic-lesions:count=40,size=16", "--budget", "50kFLOPs", "--trials", "2", "--epochs", "3",
    "--workers", "1", "--quiet",
]  # fmt: skip
COMMANDS = {
    "train": ("stopped", ["train", "--resume", "--out", "stopped", "--quiet"]),
    "folds": ("folds", ["train", "--resume", "--out", "folds", "--quiet"]),
    "search": ("search", ["search", "--resume", "--out", "search", "--trials", "3", "--quiet"]),
    "ablate": ("ablate", ["ablate", "--resume", "--out", "ablate", "--quiet"]),
    "explain": ("train", ["explain", "train", "--images", "1", "--method", "gradcam", "--out", "new", "--quiet"]),
    "resumed": (
        "explain",
        ["explain", "train", "--images", "1", "--method", "gradcam", "--out", "explain", "--resume", "--quiet"],
    ),
    "predict": ("train", ["predict", "train", "image.png"]),
    "profile": ("train", ["profile", "train", "--no-latency", "--quiet"]),
    "export": ("train", ["export", "train", "--to", "pt2", "--quiet"]),
    "serve": ("train", ["serve", "train", "--port", "0", "--quiet"]),
    "compare": ("train", ["compare", "train", "other", "--quiet"]),
    "distill": (
        "train",
        ["train", "tiny.yaml", "--set", "distill.teacher=train", "--epochs", "1", "--out", "new", "--quiet"],
    ),
}
"""The tampered run folder and the command line of every command that takes a run."""
SHOWN = {
    "shown training": ("train", ["train", "--resume", "--out", "train"]),
    "shown folds": ("folds", ["train", "--resume", "--out", "folds"]),
    "shown search": ("search", ["search", "--resume", "--out", "search"]),
    "shown ablation": ("ablate", ["ablate", "--resume", "--out", "ablate"]),
    "searched": ("search", ["profile", "search", "--no-latency"]),
    "pooled": ("folds", ["compare", "folds", "train"]),
}
"""Commands that show a finished run, or read one of another kind."""
FINISHED = ("folds", "search", "ablate", "resumed")
"""Commands that resume a finished run: it loses its report.json first."""


def extract(folder: Path) -> None:
    """Writes the runs of an earlier version, and a search of this one, since an earlier search cannot be resumed."""
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as file:
        file.extractall(folder)
    shutil.rmtree(folder / "search")
    assert run([*SEARCH, "--out", str(folder / "search")]) == 0
    shutil.copytree(folder / "train", folder / "other")
    Image.new("RGB", (16, 16), "red").save(folder / "image.png")


def copy_runs(archive: Path, folder: Path) -> Path:
    """Copies the runs to `folder`/runs, and writes a secret next to them."""
    shutil.copytree(archive, folder / "runs")
    (folder / "outside").mkdir()
    (folder / "outside" / "secret.txt").write_bytes(SECRET)
    return folder / "runs"


def snapshot(folder: Path) -> dict[str, Any]:
    """Content and time of every file of a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def run_safely(runs: Path, folder: str, arguments: list[str], capsys: Any) -> tuple[int, list[str]]:
    """The exit code of a command and its lines of errors; nothing outside has changed or was copied into the run."""
    before, beside = snapshot(runs.parent / "outside"), sorted(runs.parent.iterdir())
    capsys.readouterr()
    code = run(arguments)
    output = capsys.readouterr()
    assert snapshot(runs.parent / "outside") == before
    assert sorted(runs.parent.iterdir()) == beside
    assert "\x1b" not in output.err + output.out
    errors = [line for line in output.err.splitlines() if line.startswith("lightcnn: ")]
    assert "bug in lightcnn" not in output.err, output.err
    leaks = (SECRET, base64.b64encode(SECRET)[:40])
    inside = [path for path in (runs / folder).rglob("*") if path.is_file() and path.lstat().st_nlink == 1]
    inside = [path for path in inside if not path.is_symlink()]
    assert not [path for path in inside if any(leak in path.read_bytes() for leak in leaks)]
    return code, errors


def prepare(runs: Path, command: str, name: str) -> Path:
    """The file to tamper with, in a run that still has work to do."""
    folder = runs / (COMMANDS | SHOWN)[command][0]
    if command in FINISHED:
        (folder / "report.json").unlink(missing_ok=True)
    return folder / name
