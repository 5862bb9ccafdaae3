"""Checkpoints of a training on disk, so that it can be resumed after any interruption.

    checkpoints/000012/  tensors.safetensors and progress.json: written under another name, flushed to disk, renamed
    checkpoints/last.json  names the valid folders; replaced last, so that at any moment it names complete folders

The folders of the last and of the best epoch are kept. Files are untrusted until they have been checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor

from lightcnn.document import Frozen
from lightcnn.engine.history import History
from lightcnn.engine.state import State
from lightcnn.errors import RunError, TrainingError
from lightcnn.run_files import (
    MAX_JSON_BYTES,
    TEMPORARY,
    parse_json,
    read_limited,
    temporary_name,
    write_file,
    write_remedy,
)
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line

VERSION: Final = 1
CHECKPOINT_FILES = ("tensors.safetensors", "progress.json")
EPOCH_NAME = re.compile(r"[0-9]{6,}")
"""Names of the folders of epochs: no others are removed."""
Document = TypeVar("Document", bound=Frozen)
Count = Annotated[int, Field(ge=0)]


class CheckpointFile(Frozen):
    """progress.json: what a resumed training needs besides tensors. Random numbers come from the recipe's seed."""

    version: Literal[1]
    sha256: str
    step: Count
    plateaus: Count
    progress: History


class Pointer(Frozen):
    """last.json: the epochs whose folders are valid."""

    version: Literal[1]
    last: Annotated[int, Field(ge=1)]
    best: Annotated[int, Field(ge=1)]


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = RunFolder(folder)

    def save(self, state: State, history: History) -> None:
        """Adds this epoch. Raises: TrainingError if it cannot be written; earlier checkpoints are kept."""
        try:
            self._write(state, history)
        except OSError as error:
            remedy = write_remedy(error)
            raise TrainingError(
                f"checkpoint {self.folder}: epoch {history.epoch} cannot be written ({error.strerror or error}); "
                f"earlier checkpoints are kept: {f'{remedy}, then ' if remedy else ''}resume with: "
                f"lightcnn train --resume --out {self.folder.parent}"
            ) from error

    def exist(self) -> bool:
        """Whether there is a checkpoint to resume from. Raises: RunError."""
        return self._pointer() is not None

    def load(self, state: State) -> History:
        """Restores `state` to the last epoch and returns its history, which is empty without a checkpoint.

        Raises: RunError.
        """
        file = self._last()
        if file is None:
            return History()
        history = file.progress
        tensors = self._tensors(history.epoch, file)
        with self._run_errors(history.epoch):
            state.restore(tensors, epoch=history.epoch, step=file.step, plateaus=file.plateaus)
        return history

    def history(self) -> History:
        """The same history, of which no state is restored. Raises: RunError."""
        file = self._last()
        return History() if file is None else file.progress

    def best(self, state: State) -> Mapping[str, Tensor]:
        """The weights of the best epoch, as a state_dict of `state.judged`. Raises: RunError."""
        pointer = self._pointer()
        if pointer is None:
            raise RunError(f"checkpoint {self.folder}: there is none; start again with a new --out")
        tensors = self._tensors(pointer.best, self._file(pointer.best))
        prefix = "average." if state.average else "model."
        weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        expected = {name: value.shape for name, value in state.judged.state_dict().items()}
        if {name: value.shape for name, value in weights.items()} != expected:
            raise self._invalid(pointer.best, "its weights are those of another network")
        return weights

    def _write(self, state: State, history: History) -> None:
        self.folder.mkdir(exist_ok=True)
        temporary, target = temporary_name(self.folder / f"{history.epoch:06}"), self._folder_of(history.epoch)
        try:
            temporary.mkdir()
            # Copies: safetensors refuses two names for one memory, as tied weights have.
            tensors = safetensors_save(
                {
                    name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
                    for name, value in state.tensors().items()
                }
            )
            digest = hashlib.sha256(tensors).hexdigest()
            file = CheckpointFile(
                version=VERSION, sha256=digest, step=state.step, plateaus=state.schedule.plateaus, progress=history
            )
            write_file(temporary / "tensors.safetensors", tensors)
            write_file(temporary / "progress.json", file.model_dump_json().encode())
            _sync_folder(temporary)
            # A folder of this name was written by a session that died before last.json named it.
            _remove_checkpoint(target)
            temporary.rename(target)
            pointer = Pointer(version=VERSION, last=history.epoch, best=history.best)
            write_file(temporary, pointer.model_dump_json().encode())
            temporary.rename(self._run / "last.json")
            _sync_folder(self.folder)
        except BaseException:
            _remove_checkpoint(temporary)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        self._remove_others({f"{pointer.last:06}", f"{pointer.best:06}"})

    def remove(self) -> None:
        """Removes all checkpoints, and the folder if nothing else is in it."""
        if self.folder.is_dir():
            self._remove_others(set())
            self._run.remove("last.json")
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def _remove_others(self, kept: set[str]) -> None:
        """Removes old checkpoints, and what an interrupted session left behind; no other files."""
        for path in self.folder.iterdir():
            if path.is_symlink() or path.name in kept:
                continue
            if path.is_dir() and (EPOCH_NAME.fullmatch(path.name) or TEMPORARY.fullmatch(path.name)):
                _remove_checkpoint(path)
            elif path.is_file() and TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _folder_of(self, epoch: int) -> Path:
        return self._run / f"{epoch:06}"

    def _pointer(self) -> Pointer | None:
        return self._read(Pointer, "last.json") if (self._run / "last.json").exists() else None

    def _last(self) -> CheckpointFile | None:
        """The file of the last epoch, whose history is the one that last.json names; None without a checkpoint."""
        pointer = self._pointer()
        if pointer is None:
            return None
        file = self._file(pointer.last)
        history = file.progress
        if history.epoch != pointer.last or history.best != pointer.best or not history.consistent():
            raise self._invalid(pointer.last, "its epochs contradict each other")
        return file

    def _file(self, epoch: int) -> CheckpointFile:
        return self._read(CheckpointFile, f"{epoch:06}/progress.json")

    def _read(self, model: type[Document], name: str) -> Document:
        path = self.folder / name
        try:
            content = read_limited(self.folder, name, MAX_JSON_BYTES)
            parse_json(content)
            return model.model_validate_json(content)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, detail["loc"])) or "the file"
            rule = first_line(detail["msg"])
            raise RunError(
                f"checkpoint {path}: damaged or of another version ({where}: {rule[0].lower()}{rule[1:]}); start again "
                "with a new --out"
            ) from None
        except ValueError as error:
            raise RunError(
                f"checkpoint {path}: damaged or of another version ({first_line(error)}); start again with a new --out"
            ) from None
        except RunError as error:
            raise RunError(f"{error}; or start again with a new --out") from None

    def _tensors(self, epoch: int, file: CheckpointFile) -> dict[str, Tensor]:
        path = self._run / f"{epoch:06}/tensors.safetensors"
        with self._run_errors(epoch):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise ValueError("the tensors are truncated or were changed after they were written")
            return safetensors_load(content)

    @contextlib.contextmanager
    def _run_errors(self, epoch: int) -> Iterator[None]:
        """Turns errors of reading a checkpoint into RunError."""
        try:
            yield
        except OSError as error:
            raise self._invalid(epoch, error.strerror or str(error)) from None
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise self._invalid(epoch, first_line(error)) from None

    def _invalid(self, epoch: int, reason: str) -> RunError:
        return RunError(
            f"checkpoint {self._folder_of(epoch)}: cannot be resumed ({reason}); start again with a new --out"
        )


def _remove_checkpoint(folder: Path) -> None:
    """Removes the files of one checkpoint, and its folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        if not folder.is_symlink():
            for name in CHECKPOINT_FILES:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def _sync_folder(folder: Path) -> None:
    """Waits until the file names in a folder are on disk, on systems that support it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
