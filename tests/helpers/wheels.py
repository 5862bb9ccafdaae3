"""The wheel of lightcnn, built from the working tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT


def build_wheel(folder: Path) -> Path:
    """Builds the wheel in `folder`; skips the test if hatchling is missing."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; install lightcnn[test]")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    process = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return folder / process.stdout.split()[-1]
