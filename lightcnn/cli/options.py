"""What the commands share: options, durations, JSON on stdout, and how an interrupted one ends."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lightcnn import overrides
from lightcnn.errors import InputError
from lightcnn.overrides import Override

STARTED_AT = time.monotonic()
"""When the command began: what `--time` counts from."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no messages.")]
Debug = Annotated[bool, typer.Option("--debug", help="A traceback with every error.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Where published data sets lie or are put; default ~/.cache/lightcnn/data.")
]
Out = Annotated[Path | None, typer.Option(help="The run folder; default a fresh one under runs/.")]
SkipCorrupt = Annotated[bool, typer.Option("--skip-corrupt", help="Leave out files that cannot be read, and say so.")]
RequireData = Annotated[bool, typer.Option("--require-data", help="Refuse a stand-in where the data set is not there.")]
Resplit = Annotated[bool, typer.Option("--resplit", help="Cut the sides anew, whatever split is given.")]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Use a given split although sources stand on both sides of it.")
]


class Device(StrEnum):
    """Where networks are trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Interrupted(Exception):  # noqa: N818 (no error: the user asked for it)
    """Ctrl-C in the middle of something that can go on later; says how."""


@contextmanager
def resumable(command: str, out: Path, settings: str) -> Iterator[None]:
    """Turns Ctrl-C into the line that resumes the run in `out`, once its file `settings` is written.

    Raises: Interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not (out / settings).is_file():
            raise
        resume = f"lightcnn {command} --resume --out {shlex.quote(str(out))}"
        raise Interrupted(f"interrupted; resume with: {resume}") from None


def parse_duration(text: str | None) -> float | None:
    """A duration such as 90s, 10m or 1h30m in seconds. Raises: InputError."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not match or seconds <= 0:
        raise InputError(f"--time {text!r}: not a duration; write it with units, as in 90s, 10m or 1h30m")
    return seconds


def recipe_overrides(values: Mapping[str, Any], sets: Sequence[str]) -> list[Override]:
    """What options and `--set` change in a recipe. `values` are by dotted path; those not given (None, False) are none.

    Raises: InputError.
    """
    options = [
        overrides.Override(f"--{path.rpartition('.')[2].replace('_', '-')}", tuple(path.split(".")), value)
        for path, value in values.items()
        if value is not None and value is not False
    ]
    return options + [overrides.parse_assignment(text) for text in sets]


def print_json(document: Any) -> None:
    """One JSON document on stdout; numbers that are not finite are refused."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
