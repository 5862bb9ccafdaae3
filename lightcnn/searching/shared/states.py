"""States of trainings in a folder that all machines reach, so that any of them continues what another has started.

They are in Optuna's artifact store, as safetensors. Without such a folder, a training that another machine continues
starts again from scratch, to the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from lightcnn.run_folder import RunFolder

MAX_STATE_BYTES = 2**31
"""Largest state that is read."""


class SharedStates:
    """The states of one study in `artifacts`; nothing is shared without that folder.

    Every use of the folder is within `waiting`: if its server is away, this process hangs, and must not seem alive.
    """

    def __init__(
        self,
        artifacts: Path | None,
        study: str,
        token: str,
        run: RunFolder,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`token` differs from that of a study of the same name in another database."""
        self._store = None if artifacts is None else FileSystemArtifactStore(artifacts)
        self._prefix = f"{study}-{token}"
        self._run = run
        self._waiting = waiting

    def is_here(self, name: str) -> bool:
        """Whether a state is on this machine."""
        return bool(name) and (self._run / name).is_file()

    def send(self, name: str) -> None:
        """Copies a state of this machine to the folder."""
        if self._store is not None and self.is_here(name):
            with self._reaching(), open(self._run / name, "rb") as file:
                self._store.write(self._name(name), file)

    def fetch(self, name: str) -> None:
        """Copies a state to this machine, unless it is here or nowhere."""
        if self._store is None or not name or self.is_here(name):
            return
        with self._reaching(), self._store.open_reader(self._name(name)) as file:
            content = file.read(MAX_STATE_BYTES + 1)
            if len(content) <= MAX_STATE_BYTES:
                self._run.write_bytes(name, content)

    def remove(self, name: str) -> None:
        """Removes a state from the folder and from this machine."""
        self._run.remove(name)
        if self._store is not None:
            with self._reaching():
                self._store.remove(self._name(name))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """A state that cannot be read or written is one that is not there: its training is repeated."""
        with self._waiting():
            try:
                yield
            except ArtifactNotFound:
                pass
            except OSError as error:
                self._run.log(f"--artifacts: {error.filename}: {error.strerror}")

    def _name(self, name: str) -> str:
        return f"{self._prefix}-{Path(name).name}"
