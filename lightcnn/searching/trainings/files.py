"""The files of trainings in a run folder: states, epochs, and which of them are removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydantic import ValidationError

from lightcnn.document import Frozen
from lightcnn.errors import RunError
from lightcnn.run_files import MAX_JSON_BYTES, read_limited
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.jobs import EpochRow, TrainingResult
from lightcnn.text import first_line

STATE = re.compile(r"(\d{6})-(\d+|(second-)?(stable-\d+|end(-\d+)?)|seed-\d+)(-paused)?\.safetensors")
NOTES = re.compile(r"(\d{6})-(epochs|(second-)?final|seed-\d+)\.json")
Document = TypeVar("Document", bound=Frozen)
ARRAY = re.compile(r"(labels|train|validation|teacher)\.npy")


class Epochs(Frozen):
    """The epochs that a trial's network was trained for in the search."""

    rows: tuple[EpochRow, ...] = ()


def state_file(trial: int, images: int) -> str:
    """The name of the state of a trial's training after so many images, in the run folder."""
    return f"trainings/{trial:06}-{images}.safetensors"


def final_file(trial: int, name: str, *, second: bool) -> str:
    """The name of a file of a final training, with the first or the second seed: a state, or its progress."""
    return f"trainings/{trial:06}-{'second-' if second else ''}{name}"


def write_epochs(folder: RunFolder, result: TrainingResult) -> None:
    """Adds the epochs of a result to those of its trial."""
    rows = merged([*read_epochs(folder, result.trial), *result.epochs])
    folder.write_json(f"trainings/{result.trial:06}-epochs.json", Epochs(rows=rows).model_dump(mode="json"))


def read_epochs(folder: RunFolder, trial: int) -> tuple[EpochRow, ...]:
    """The epochs of a trial's network in the search."""
    return (read_json(folder, f"trainings/{trial:06}-epochs.json", Epochs) or Epochs()).rows


def read_json(folder: RunFolder, name: str, model: type[Document]) -> Document | None:
    """What a JSON file of the run folder holds; None if there is no such file. Raises: RunError if it is damaged."""
    if not (folder / name).is_file():
        return None
    try:
        return model.model_validate_json(read_limited(folder.path, name, MAX_JSON_BYTES))
    except ValidationError as error:
        detail = first_line(error.errors(include_url=False, include_context=False)[0]["msg"])
        raise RunError(f"{folder / name}: not a file of this search ({detail}); choose a new --out") from None


def merged(rows: Iterable[EpochRow]) -> tuple[EpochRow, ...]:
    """Epochs by number, each once: the last row of a number counts."""
    by_number = {row[0]: row for row in rows}
    return tuple(by_number[number] for number in sorted(by_number))


def remove_states(folder: RunFolder, *, keep: Sequence[int]) -> None:
    """Removes the states of all trials but those in `keep`, those of paused jobs, and what workers have read."""
    trainings = folder / "trainings"
    if not trainings.is_dir():
        return
    for path in sorted(trainings.iterdir()):
        named = STATE.fullmatch(path.name) or NOTES.fullmatch(path.name)
        is_paused = named is not None and path.stem.endswith("-paused")
        if ARRAY.fullmatch(path.name) or is_paused or (named is not None and int(named[1]) not in keep):
            folder.remove(f"trainings/{path.name}")
