"""A training on disk, so that it can go on after whatever ended it.

    checkpoints/000012/  tensors.safetensors and progress.json, written under another name, on disk, then renamed
    checkpoints/last.json  which folders count: renamed over the old one last, so that at any moment it names whole ones

The last epoch's folder and the best one's are kept. What is read back is taken for hostile until it fits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor

from lightcnn.document import Frozen
from lightcnn.engine.history import History
from lightcnn.engine.state import State
from lightcnn.errors import RunError, TrainingError
from lightcnn.text import first_line

VERSION: Final = 1
LARGEST = 50_000_000
"""Bytes of the largest JSON file that is read."""
Document = TypeVar("Document", bound=Frozen)
Count = Annotated[int, Field(ge=0)]


class Held(Frozen):
    """progress.json: what beside tensors a training needs to go on. Random numbers come from the recipe's seed."""

    version: Literal[1]
    sha256: str
    step: Count
    plateaus: Count
    progress: History


class Pointer(Frozen):
    """last.json."""

    version: Literal[1]
    last: Annotated[int, Field(ge=1)]
    best: Annotated[int, Field(ge=1)]


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: State, progress: History) -> None:
        """Adds this epoch. Raises: TrainingError where it cannot be written; what was there stays."""
        try:
            self._write(state, progress)
        except OSError as error:
            raise TrainingError(
                f"checkpoint {self.folder}: epoch {progress.epoch} cannot be written ({error.strerror or error}); what "
                f"was there is kept: make room, then: lightcnn train --resume --out {self.folder.parent}"
            ) from error

    def begun(self) -> bool:
        """Whether there is one to go on from. Raises: RunError."""
        return self._pointer() is not None

    def load(self, state: State) -> History:
        """Brings `state` to the last epoch; an empty Progress where there is none. Raises: RunError."""
        pointer = self._pointer()
        if pointer is None:
            return History()
        held = self._held(pointer.last)
        progress = held.progress
        if progress.epoch != pointer.last or progress.best != pointer.best or not progress.whole():
            raise self._refused(pointer.last, "its epochs do not fit together")
        tensors = self._tensors(pointer.last, held)
        with self._refusing(pointer.last):
            state.restore(tensors, epoch=progress.epoch, step=held.step, plateaus=held.plateaus)
        return progress

    def best(self, state: State) -> Mapping[str, Tensor]:
        """The weights of the best epoch, as a state_dict of `state.judged`. Raises: RunError."""
        pointer = self._pointer()
        if pointer is None:
            raise RunError(f"checkpoint {self.folder}: there is none; begin anew with a fresh --out")
        tensors = self._tensors(pointer.best, self._held(pointer.best))
        prefix = "average." if state.average else "model."
        chosen = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        own = state.judged.state_dict()
        if {name: value.shape for name, value in chosen.items()} != {name: value.shape for name, value in own.items()}:
            raise self._refused(pointer.best, "its weights are those of another network")
        return chosen

    def _write(self, state: State, progress: History) -> None:
        self.folder.mkdir(exist_ok=True)
        making, made = self.folder / f".{progress.epoch:06}.{os.getpid()}", self._place(progress.epoch)
        try:
            making.mkdir()
            tensors = safetensors_save(
                {name: value.detach().cpu().contiguous() for name, value in state.tensors().items()}
            )
            digest = hashlib.sha256(tensors).hexdigest()
            held = Held(
                version=VERSION, sha256=digest, step=state.step, plateaus=state.schedule.plateaus, progress=progress
            )
            write_file(making / "tensors.safetensors", tensors)
            write_file(making / "progress.json", held.model_dump_json().encode())
            _settle(making)
            # One that is there already was written by a session that died before it counted.
            shutil.rmtree(made, ignore_errors=True)
            making.rename(made)
            pointer = Pointer(version=VERSION, last=progress.epoch, best=progress.best)
            write_file(making, pointer.model_dump_json().encode())
            making.rename(self.folder / "last.json")
            _settle(self.folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            with contextlib.suppress(OSError):
                making.unlink(missing_ok=True)
            raise
        self._tidy({f"{pointer.last:06}", f"{pointer.best:06}", "last.json"})

    def _tidy(self, kept: set[str]) -> None:
        """Removes what does not count any more, and what a session that died left behind."""
        for path in self.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _place(self, epoch: int) -> Path:
        return self.folder / f"{epoch:06}"

    def _pointer(self) -> Pointer | None:
        path = self.folder / "last.json"
        return self._read(Pointer, path) if path.exists() else None

    def _held(self, epoch: int) -> Held:
        return self._read(Held, self._place(epoch) / "progress.json")

    def _read(self, model: type[Document], path: Path) -> Document:
        try:
            if path.stat().st_size > LARGEST:
                raise RunError(f"checkpoint {path}: too large to be one; begin anew with a fresh --out")
            return model.model_validate_json(path.read_bytes())
        except OSError as error:
            raise RunError(
                f"checkpoint {path}: cannot be read ({error.strerror}); begin anew with a fresh --out"
            ) from None
        except ValidationError as error:
            detail = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, detail["loc"])) or "the file"
            rule = first_line(detail["msg"])
            raise RunError(
                f"checkpoint {path}: damaged or of another version ({where}: {rule[0].lower()}{rule[1:]}); begin anew "
                "with a fresh --out"
            ) from None

    def _tensors(self, epoch: int, held: Held) -> dict[str, Tensor]:
        path = self._place(epoch) / "tensors.safetensors"
        with self._refusing(epoch):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != held.sha256:
                raise ValueError("the tensors are cut off or are not those that were written")
            return safetensors_load(content)

    @contextlib.contextmanager
    def _refusing(self, epoch: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._refused(epoch, error.strerror or str(error)) from None
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise self._refused(epoch, first_line(error)) from None

    def _refused(self, epoch: int, reason: str) -> RunError:
        return RunError(
            f"checkpoint {self._place(epoch)}: cannot be gone on with ({reason}); begin anew with a fresh --out"
        )


def write_file(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Waits until the names in a folder are on disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
