"""The state of a training in one file, so that another process can continue it to the same bits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from lightcnn.document import Frozen
from lightcnn.engine.loss_tally import EpochPart
from lightcnn.engine.state import State, fill
from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line

Count = Annotated[int, Field(ge=0)]
HEADER = "training"
NOTE = "note"
"""The keys of the progress and of the note in the header of the file."""


class Progress(Frozen):
    """What a training needs besides its tensors, in the header of the file. Random numbers come from its seed."""

    version: Literal[1] = 1
    epoch: Count
    step: Count
    plateaus: Count
    total: float
    images: Count
    seconds: Annotated[float, Field(ge=0)]


def save_state(folder: RunFolder, name: str, state: State, note: str = "") -> None:
    """Writes the state of a training into `folder`, in place of an earlier one, with a `note` for `read_note`.

    Raises: OSError.
    """
    part = state.part
    progress = Progress(
        epoch=state.epoch, step=state.step, plateaus=state.schedule.plateaus, total=part.total, images=part.images,
        seconds=part.seconds,
    )  # fmt: skip
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors().items()}
    folder.write_bytes(name, save(tensors, {HEADER: progress.model_dump_json(), **({NOTE: note} if note else {})}))


def load_state(folder: RunFolder, name: str, state: State) -> None:
    """Continues `state` from the file. Raises: RunError if it is damaged or belongs to another training."""
    path = folder / name
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress.model_validate_json((file.metadata() or {})[HEADER])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        state.restore(
            tensors,
            epoch=progress.epoch,
            step=progress.step,
            plateaus=progress.plateaus,
            part=EpochPart(progress.total, progress.images, progress.seconds),
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise RunError(f"training {path}: cannot be continued ({first_line(error)}); choose a new --out") from None


def read_note(folder: RunFolder, name: str) -> str:
    """The note in the file of a state; empty if there is no such file, or if it cannot be read."""
    try:
        with safe_open(folder / name, framework="pt") as file:
            return str((file.metadata() or {}).get(NOTE, ""))
    except (OSError, ValueError, RuntimeError, SafetensorError):
        return ""


def load_weights(folder: RunFolder, name: str, model: nn.Module, *, averaged: bool) -> None:
    """Fills `model` with the averaged or the live weights of a state. Raises: RunError if it does not belong to it."""
    path, prefix = folder / name, "average." if averaged else "model."
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
        fill(model, tensors, prefix)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise RunError(f"training {path}: cannot be read ({first_line(error)}); choose a new --out") from None
