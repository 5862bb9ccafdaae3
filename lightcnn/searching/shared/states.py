"""States of trainings in a folder that all machines reach, so that any of them continues what another has started.

They are in Optuna's artifact store, as safetensors. Without such a folder, a training that another machine continues
starts again from scratch, to the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from lightcnn.run_folder import RunFolder

MAX_STATE_BYTES = 2**31
"""Largest state that is read."""


class SharedStates:
    """The states of one study in `artifacts`; nothing is shared without that folder."""

    def __init__(self, artifacts: Path | None, study: str, token: str, run: RunFolder) -> None:
        """`token` differs from that of a study of the same name in another database."""
        self._store = None if artifacts is None else FileSystemArtifactStore(artifacts)
        self._prefix = f"{study}-{token}"
        self._run = run

    def send(self, name: str) -> None:
        """Copies a state of this machine to the folder."""
        if self._store is not None and (self._run / name).is_file():
            with self._logged(), open(self._run / name, "rb") as file:
                self._store.write(self._name(name), file)

    def fetch(self, name: str) -> None:
        """Copies a state to this machine, unless it is here or nowhere."""
        if self._store is None or not name or (self._run / name).is_file():
            return
        with self._logged(), self._store.open_reader(self._name(name)) as file:
            content = file.read(MAX_STATE_BYTES + 1)
            if len(content) <= MAX_STATE_BYTES:
                self._run.write_bytes(name, content)

    def remove(self, name: str) -> None:
        """Removes a state from the folder and from this machine."""
        self._run.remove(name)
        if self._store is not None:
            with self._logged():
                self._store.remove(self._name(name))

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """A state that cannot be read or written is one that is not there: its training is repeated."""
        try:
            yield
        except ArtifactNotFound:
            pass
        except OSError as error:
            self._run.log(f"--artifacts: {error.filename}: {error.strerror}")

    def _name(self, name: str) -> str:
        return f"{self._prefix}-{Path(name).name}"
