"""States of trainings in a folder that all machines reach, so that any of them continues what another has started.

They are in Optuna's artifact store, as safetensors. Without such a folder, a training that another machine continues
starts again from scratch, to the same weights.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from lightcnn import run_files
from lightcnn.run_folder import RunFolder

MAX_STATE_BYTES = 2**31
"""Size of the largest state that is copied."""
READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A link is not followed, and a pipe is not waited for."""


class SharedFolder:
    """An artifact store of Optuna in a folder to which others may write.

    Files appear complete, and links that others have put there are neither read nor written through.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = FileSystemArtifactStore(folder)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Opens a file. Raises: ArtifactNotFound; OSError if it is not a regular file."""
        path = self._folder / artifact_id
        try:
            handle = os.open(path, READ_FLAGS)
        except FileNotFoundError:
            raise ArtifactNotFound(artifact_id) from None
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return open(handle, "rb")
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Writes a file under a name that no one can expect, and renames it. Raises: OSError."""
        path = self._folder / artifact_id
        temporary = run_files.temporary_name(path)
        try:
            with run_files.naming(path):
                self._store.write(temporary.name, content_body)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def remove(self, artifact_id: str) -> None:
        """Removes a file, or a link. Raises: ArtifactNotFound; OSError."""
        self._store.remove(artifact_id)


class SharedStates:
    """The states of one study in `artifacts`; nothing is shared without that folder.

    Every use of the folder is within `waiting`: if its server is away, this process hangs, and must not seem alive.
    `noted` gets why a state could not be copied, each reason once; log.txt has all of them.
    """

    def __init__(
        self,
        artifacts: Path | None,
        study: str,
        token: str,
        run: RunFolder,
        waiting: Callable[[], AbstractContextManager[None]],
        noted: Callable[[str], None],
    ) -> None:
        """`token` differs from that of a study of the same name in another database."""
        self._store = None if artifacts is None else SharedFolder(artifacts)
        self._prefix = f"{study}-{token}"
        self._run = run
        self._waiting = waiting
        self._noted = noted
        self._reasons: set[str] = set()
        if artifacts is not None:
            with waiting():
                run_files.tidy_abandoned(artifacts)

    def is_here(self, name: str) -> bool:
        """Whether a state is on this machine."""
        return bool(name) and (self._run / name).is_file()

    def send(self, name: str) -> None:
        """Copies a state of this machine to the folder."""
        if self._store is not None and self.is_here(name):
            with self._reaching(), open(self._run / name, "rb") as file:
                _require_size(file, self._run / name)
                self._store.write(self._name(name), file)

    def fetch(self, name: str) -> None:
        """Copies a state to this machine, unless it is here or nowhere."""
        if self._store is None or not name or self.is_here(name):
            return
        with self._reaching(), self._store.open_reader(self._name(name)) as file:
            _require_size(file, Path(self._name(name)))
            self._run.write_bytes(name, file.read(MAX_STATE_BYTES))

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
                self._note(error)

    def _note(self, error: OSError) -> None:
        is_link = error.errno == errno.ELOOP
        reason = "a link, which is not followed" if is_link else error.strerror or str(error)
        message = f"--artifacts: {error.filename}: {reason}; a training that needs this state starts again"
        self._run.log(message)
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._noted(message)

    def _name(self, name: str) -> str:
        return f"{self._prefix}-{Path(name).name}"


def _require_size(file: BinaryIO, path: Path) -> None:
    """Raises: OSError if a state is too large to be copied."""
    if os.fstat(file.fileno()).st_size > MAX_STATE_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MAX_STATE_BYTES:,} bytes", str(path))
