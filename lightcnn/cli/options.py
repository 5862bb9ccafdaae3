"""What the commands share: options, durations, JSON on stdout, and the message of an interrupted command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lightcnn import interrupt, overrides
from lightcnn.cli import completion
from lightcnn.devices import DEVICES
from lightcnn.overrides import Override
from lightcnn.tracking.names import TRACKERS

Device = StrEnum("Device", [(name, name) for name in DEVICES], module=__name__)  # type: ignore[misc]
"""What `--device` accepts."""
AUTO = Device("auto")
TrackerChoice = StrEnum("TrackerChoice", [(name, name) for name in TRACKERS], module=__name__)  # type: ignore[misc]
"""What `--log` accepts."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and everything else on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no messages.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print a traceback with every error.")]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder of the published data sets (default: ~/.cache/lightcnn/data)."),
]
Log = Annotated[
    list[TrackerChoice] | None,
    typer.Option(
        "--log",
        help="Also send parameters and scores to this tracker, which needs its extra; repeatable. TensorBoard and "
        "MLflow write into the run folder, unless MLFLOW_TRACKING_URI is set; Weights & Biases obeys WANDB_MODE.",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="FOLDER", help="The run folder (default: a new folder under runs/).")]
SkipCorrupt = Annotated[bool, typer.Option("--skip-corrupt", help="Ignore files that cannot be read, and report them.")]
Fast = Annotated[
    bool,
    typer.Option("--fast", help="Skip the search for near duplicates; copies may then be in train and test."),
]
Thorough = Annotated[
    bool,
    typer.Option(
        "--thorough",
        help="Search for near duplicates among more than 5,000 images too (at most 50,000), as audit does.",
    ),
]
RequireData = Annotated[
    bool, typer.Option("--require-data", help="Fail if the data set is missing instead of using synthetic images.")
]
Resplit = Annotated[
    bool, typer.Option("--resplit", help="Ignore the split that the data set comes with and make a new one.")
]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Use the given split even if images of one group are in more than one set.")
]
Positive = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS",
        help="The positive one of two classes (default: the other of a class called normal, healthy, other, benign, "
        "negative, control, background, no_* or non-*, else the second).",
    ),
]

RecipeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=completion.recipes,
        help="Name of a shipped recipe (finetune starts from pretrained weights), a recipe file or a run folder; or, "
        "with --data, a baseline or a spec.yaml.",
    ),
]
TrainingData = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE", autocompletion=completion.data_sets, help="Data set to train on (default: the recipe's)."
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Maximum number of epochs (default: the recipe's); sets training.epochs."),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed of the split, the first weights and the training (default: the recipe's)."),
]
Folds = Annotated[
    int | None, typer.Option(metavar="K", help="Cross-validate: make K folds by group and test each fold once.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Set any value of the recipe; repeatable."),
]
TrainingDevice = Annotated[Device, typer.Option(help="Device to train on.")]


class Interrupted(Exception):  # noqa: N818 (not an error: the user interrupted the command)
    """A signal ended a command that can be resumed; the text is the message, with the command that resumes it."""


@contextmanager
def resumable(command: str, out: Path, settings: str, log: Sequence[str] = (), further: str = "") -> Iterator[None]:
    """Turns a signal into the command that resumes the run in `out`, once its file `settings` has been written.

    The command has the options `--log` that the run is logged with, and `further` ones.

    An error after a signal counts as the signal: a library may have turned the one into the other, or the terminal may
    be gone. Raises: Interrupted.
    """

    def message() -> str:
        words = ["--resume --out", shlex.quote(str(out)), further, *(f"--log {name}" for name in log)]
        options = " ".join(filter(None, words))
        return (
            f"interrupted; resume with: lightcnn {command} {options}" if (out / settings).is_file() else "interrupted"
        )

    with interrupt.reported(message):
        try:
            yield
            interrupt.check()
        except (KeyboardInterrupt, Exception) as error:
            if not isinstance(error, KeyboardInterrupt) and not interrupt.received():
                raise
            interrupt.settle()
            raise Interrupted(message()) from None


def reading_values(
    data_dir: Path | None,
    skip_corrupt: bool,
    resplit: bool,
    allow_leak: bool,
    require_data: bool,
    fast: bool,
    thorough: bool,
    positive: str | None = None,
) -> dict[str, Any]:
    """The keys of `Reading` that the options of the same names set."""
    values = {
        "data_dir": data_dir and str(data_dir), "skip_corrupt": skip_corrupt, "resplit": resplit,
        "allow_leak": allow_leak, "require_data": require_data, "fast": fast,
        "thorough": thorough,
        "positive": positive,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value}


def recipe_overrides(
    data: str | None, epochs: int | None, seed: int | None, reading: Mapping[str, Any], sets: Sequence[str] | None
) -> list[Override]:
    """What the options change in a recipe: those of the same names, then those of `--set`. Raises: InputError."""
    values = {"data": data, "training.epochs": epochs, "seed": seed}
    values |= {f"reading.{name}": value for name, value in reading.items()}
    options = [
        Override(f"--{path.rpartition('.')[2].replace('_', '-')}", tuple(path.split(".")), value)
        for path, value in values.items()
        if value is not None
    ]
    return options + [overrides.parse_assignment(text) for text in sets or ()]


def assigned(sets: Sequence[str]) -> dict[str, Any]:
    """What `--set` sets, by its paths. Raises: InputError."""
    return {".".join(map(str, change.path)): change.value for change in map(overrides.parse_assignment, sets)}


def print_json(document: Any) -> None:
    """Prints a JSON document on stdout; numbers that are not finite are refused."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
