"""What a run folder of explanations was begun for: a resume goes on with that and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.text import shorten, visible

FILE = "explain.json"
HELD = {"weights": "weights.safetensors", "network": "spec.yaml", "preprocessing": "preprocess.json"}
"""Files of the run that is explained, on which all maps depend."""
LETTERS = 60
"""Of a value that an error names."""


def digests(run: RunFolder) -> dict[str, str]:
    """SHA-256 of the files of the run that is explained."""
    return {name: hashlib.sha256((run / file).read_bytes()).hexdigest() for name, file in HELD.items()}


def begin(path: Path, asked: Mapping[str, Any]) -> RunFolder:
    """A fresh run folder for what is asked. Raises: RunError."""
    return RunFolder.create(path, "explain", {FILE: json_bytes(asked)})


def begun_for(path: Path, asked: Mapping[str, Any]) -> RunFolder:
    """The run folder that was begun for the same. Raises: RunError where there is none, or for something else."""
    run = RunFolder.load(path)
    try:
        begun = dict(json.loads((run / FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        raise RunError(f"--resume: {path} has no {FILE} that can be read; begin anew with a fresh --out") from None
    for name in sorted(begun.keys() | asked.keys()):
        if begun.get(name) != asked.get(name):
            held, given = (_short(of.get(name)) for of in (begun, asked))
            raise RunError(
                f"--resume: {path} was begun with other {name} ({held}, not {given}); give the same command, or a "
                "fresh --out"
            )
    return run


def _short(value: Any) -> str:
    return shorten(visible(str(value)), LETTERS)
