"""The rows of search.py: which there are, and the JSON-lines file that keeps the finished ones."""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARMS = {
    "ours": "lightcnn search with its defaults",
    "one trial": "the same with --trials 1",
    "optuna": "plain Optuna: TPE, median pruner, over-budget samples pruned, the best trained again",
    "random": "lightcnn search --strategy random",
    "hand-made": "the best, on validation, of four hand-made networks",
}
FIVE = ("ours", "one trial", "optuna", "random", "hand-made")
SOURCES = {
    "digits": "digits",
    "synthetic-lesions": "synthetic-lesions:classes=6,size=64,count=3000",
    "fashion-mnist": "fashion-mnist",
}
"""The SOURCE of each data set; `--fashion` changes that of Fashion-MNIST."""


@dataclass(frozen=True, order=True)
class Row:
    """One arm on one data set under one budget for some minutes; `minutes` are those of the whole arm."""

    data: str
    budget: str
    minutes: float
    arm: str
    seed: int
    device: str = "cpu"

    @property
    def seconds(self) -> int:
        """The time of the arm in whole seconds."""
        return round(60 * self.minutes)

    def __str__(self) -> str:
        return f"{self.data}, {self.budget}, {self.minutes:g} min, seed {self.seed}, {self.arm} ({self.device})"


def planned(name: str, device: str) -> list[Row]:
    """The rows of one of `SETUPS`, seed by seed, so that slow drift of a machine meets all arms."""
    rows: list[Row] = []
    for data, budget, minutes, of_arms in SETUPS[name]():
        for seed in range(max(of_arms.values())):
            rows += [Row(data, budget, minutes, arm, seed, device) for arm in of_arms if seed < of_arms[arm]]
    return rows


Setup = tuple[str, str, float, dict[str, int]]
"""Data, budget, minutes, and the number of seeds of each arm."""


def core() -> list[Setup]:
    """Fashion-MNIST at 1 MFLOPs."""
    long = dict.fromkeys(("ours", "one trial", "optuna", "hand-made"), 2)
    return [
        ("fashion-mnist", "1MFLOPs", 2, {"ours": 3}),
        ("fashion-mnist", "1MFLOPs", 10, dict.fromkeys(FIVE, 3)),
        ("fashion-mnist", "1MFLOPs", 30, long),
    ]


def around() -> list[Setup]:
    """Three data sets, a smaller and a larger budget, three minutes."""
    seeds = dict.fromkeys(FIVE, 1) | {"ours": 2, "one trial": 2}
    return [(data, budget, 3, seeds) for data, budget in product(SOURCES, ("0.3MFLOPs", "4MFLOPs"))]


def one_core() -> list[Setup]:
    """Searches with one worker, which has no other one that trains the first network meanwhile."""
    return [
        ("fashion-mnist", "1MFLOPs", 10, dict.fromkeys(("ours", "one trial"), 3)),
        ("synthetic-lesions", "0.3MFLOPs", 3, dict.fromkeys(("ours", "one trial"), 2)),
        ("digits", "0.3MFLOPs", 3, dict.fromkeys(("ours", "one trial"), 2)),
    ]


def quick() -> list[Setup]:
    """Twenty seconds on digits, to test the script."""
    return [("digits", "0.3MFLOPs", round(20 / 60, 3), dict.fromkeys(FIVE, 1))]


SETUPS = {"core": core, "around": around, "one-core": one_core, "quick": quick}


def packed(correct: NDArray[np.bool_], groups: Sequence[str], paths: Sequence[str]) -> dict[str, Any]:
    """What a row stores of N test images in the order of their paths.

    `correct`: one bit per image, in hexadecimal; `groups`: JSON, compressed, in base 64; `images`: digest of the paths.
    """
    return {
        "test_images": len(correct),
        "correct": np.packbits(correct).tobytes().hex(),
        "groups": base64.b64encode(zlib.compress(json.dumps(list(groups)).encode(), 9)).decode(),
        "images": hashlib.sha256("\n".join(paths).encode()).hexdigest(),
    }


def correctness(row: dict[str, Any]) -> NDArray[np.float64]:
    """Whether each test image was classified correctly, 0 or 1, (N,)."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["correct"]), dtype=np.uint8))
    return bits[: row["test_images"]].astype(np.float64)


def groups(row: dict[str, Any]) -> NDArray[np.str_]:
    """The group of each test image (N,)."""
    return np.array(json.loads(zlib.decompress(base64.b64decode(row["groups"]))), dtype=np.str_)


def key(row: dict[str, Any], kind: type[Any] = Row) -> Any:
    """Which row a stored row is; `kind` is the dataclass of such rows."""
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def read_rows(path: Path, kind: type[Any] = Row) -> dict[Any, dict[str, Any]]:
    """The finished rows of a file, compressed if `.xz`, without a line that was cut off when the script was killed."""
    finished: dict[Any, dict[str, Any]] = {}
    content = path.read_bytes() if path.exists() else b""
    text = (lzma.decompress(content) if path.suffix == ".xz" else content).decode()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            print(f"{path}:{number}: not a whole row; it will be measured again", file=sys.stderr)
            continue
        finished[key(row, kind)] = row
    return finished


def append_row(path: Path, row: Any, values: dict[str, Any]) -> None:
    """Adds a finished row to the file, on a line of its own even after a line that was cut off."""
    cut_off = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a") as file:
        file.write("\n" * cut_off + json.dumps(asdict(row) | values) + "\n")
        file.flush()
        os.fsync(file.fileno())
