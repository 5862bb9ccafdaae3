"""Code in a fresh interpreter that lacks packages, as an installation without them does."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from helpers.paths import ROOT

HOOK = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
NUMPY_AND_PILLOW_ONLY = (
    "torch", "torchvision", "cv2", "pydantic", "pydantic_core", "ruamel", "typer", "click", "rich", "onnx",
    "onnxscript", "optuna", "sklearn", "scipy", "matplotlib", "faiss", "safetensors", "filelock", "timm", "sqlalchemy",
)  # fmt: skip
"""What an installation of NumPy, Pillow and ONNX Runtime lacks."""


def run_without(packages: Sequence[str], code: str, *arguments: str | Path, cwd: Path = ROOT) -> str:
    """What code prints on stdout in an interpreter in which these packages cannot be imported."""
    script = HOOK.format(missing=set(packages)) + textwrap.dedent(code)
    process = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout
