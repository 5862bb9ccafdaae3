"""What the user of a shared search gives: the storage, the study, and what belongs to this machine alone."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from lightcnn import document
from lightcnn.document import Frozen
from lightcnn.errors import InputError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trials.storage_url import HIDDEN, STORAGE_VARIABLE, require_storage_url, visible_url

SHARED_FILE = "shared.yaml"
"""In the run folder of a shared search: where its study is."""
GRPC = re.compile(r"grpc://(?P<host>[^:/?#@]+|\[[0-9A-Fa-f:]+\]):(?P<port>\d{1,5})/?")
STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SCHEME = "postgresql+psycopg"
"""The scheme of the only database that is offered: on SQLite, Optuna lets two processes claim the same trial."""


FOLDER = "FOLDER"
"""What has the place of an absolute `--artifacts` in files: it is a path of one machine, and others may read them."""


class SharedNote(Frozen):
    """shared.yaml: the storage, without its password, the study, and the further options of this machine.

    `artifacts` is as it was given; `FOLDER` has the place of an absolute path. `result` is the run folder of the leader
    and its host, once this machine has ended without having led.
    """

    storage: str
    study: str
    artifacts: Annotated[str, AfterValidator(lambda path: FOLDER if Path(path).is_absolute() else path)] | None = None
    trial_timeout: Annotated[float, Field(gt=0)] | None = None
    result: str | None = None


def read_note(run: RunFolder) -> SharedSettings | None:
    """Where the study of a run is; None if it is in the run folder. Raises: DocumentError."""
    if not (run / SHARED_FILE).is_file():
        return None
    note = document.load(SharedNote, run / SHARED_FILE)
    artifacts = None if note.artifacts is None else Path(note.artifacts)
    return SharedSettings(note.storage, note.study, artifacts, note.trial_timeout)


def storage_of(target: str) -> str:
    """The storage of the run folder `target`, if its study is shared; otherwise `target`.

    What a run folder names is not connected to unless it is the storage in the environment. Raises: InputError if not.
    """
    if "://" in target or not (Path(target) / SHARED_FILE).is_file():
        return target
    note = document.load(SharedNote, Path(target) / SHARED_FILE)
    given = os.environ.get(STORAGE_VARIABLE, "")
    if visible_url(given) != note.storage:
        raise InputError(
            f"{target}: its study {note.study} is in {note.storage}; "
            f"give this URL with its password, or set {STORAGE_VARIABLE}"
        )
    return given


def resume_options(run: RunFolder) -> str:
    """The options of `lightcnn search --resume` that continue the search of a run."""
    shared = read_note(run)
    return f"--out {shlex.quote(str(run.path))}" if shared is None else shared.options


@dataclass(frozen=True)
class SharedSettings:
    """Where a shared search is, the folder in which machines leave states, and the longest time of a training.

    `origin` is where the URL was given: an option, a command or a variable. Messages begin with it.

    Example:
        >>> str(shared_settings("postgresql+psycopg://anna:secret@db/optuna", "moles"))
        'study moles in postgresql+psycopg://anna:***@db/optuna'
    """

    url: str
    study: str
    artifacts: Path | None = None
    trial_timeout: float | None = None
    origin: str = "--storage"

    @property
    def visible_url(self) -> str:
        """The URL without its password."""
        return visible_url(self.url)

    @property
    def grpc_address(self) -> tuple[str, int] | None:
        """Host and port of Optuna's gRPC proxy, if it is the storage."""
        match = GRPC.fullmatch(self.url)
        return (match["host"].strip("[]"), int(match["port"])) if match else None

    @property
    def options(self) -> str:
        """The options of the command that joins it. A password is not in them: `***` is in its place, unless the
        storage is the one in the environment, which needs no option.
        """
        options = [f"--study {shlex.quote(self.study)}"]
        if self.artifacts is not None:
            options.append(f"--artifacts {shlex.quote(str(self.artifacts))}")
        if self.trial_timeout is not None:
            options.append(f"--trial-timeout {self.trial_timeout:.10g}s")
        is_known = visible_url(os.environ.get(STORAGE_VARIABLE, "")) == self.visible_url
        if not (is_known and f":{HIDDEN}@" in self.visible_url):
            options.insert(0, f"--storage {shlex.quote(self.visible_url)}")
        return " ".join(options)

    def yaml(self, result: str | None = None) -> bytes:
        """shared.yaml, of a machine that did not lead with where the `result` is."""
        artifacts = None if self.artifacts is None else str(self.artifacts)
        note = SharedNote(
            storage=self.visible_url, study=self.study, artifacts=artifacts, trial_timeout=self.trial_timeout,
            result=result,
        )  # fmt: skip
        return document.dump(note).encode()

    def __str__(self) -> str:
        return f"study {self.study} in {self.visible_url}"


def shared_settings(
    storage: str | None, study: str | None, artifacts: Path | None = None, trial_timeout: float | None = None
) -> SharedSettings | None:
    """The settings from the options of these names; None if the search is not shared.

    With a study, the storage may be in the environment. Raises: InputError.
    """
    url, origin = storage, "--storage"
    if storage is None and study is not None:
        url, origin = os.environ.get(STORAGE_VARIABLE) or None, STORAGE_VARIABLE
    if url is None:
        given = {"--study": study, "--artifacts": artifacts, "--trial-timeout": trial_timeout}
        name = next((name for name, value in given.items() if value is not None), None)
        if name is not None:
            raise InputError(f"{name}: is for a search on several machines; name its database with --storage URL")
        return None
    if study is None:
        raise InputError("--storage: --study is missing; name the study that the machines share, as in --study moles")
    if not STUDY.fullmatch(study):
        raise InputError(
            f"--study {study}: must be letters, digits, '.', '_' and '-', at most 100; choose another name"
        )
    settings = SharedSettings(url, study, artifacts, trial_timeout, origin)
    if url.startswith("grpc:"):
        _require_proxy(settings)
    else:
        _require_database(settings, " or grpc://HOST:PORT")
    if artifacts is not None and not artifacts.is_dir():
        if str(artifacts) == FOLDER:
            raise InputError(f"--artifacts {FOLDER}: name the folder that the search was started with")
        raise InputError(f"--artifacts {artifacts}: no such folder; make it where all machines can reach it")
    return settings


def served_settings(url: str | None) -> SharedSettings:
    """The database that `lightcnn storage serve` serves: `url`, or the one in the environment. Raises: InputError."""
    origin = "storage serve" if url else f"storage serve: {STORAGE_VARIABLE}"
    url = url or os.environ.get(STORAGE_VARIABLE)
    if not url:
        raise InputError(f"storage serve: the database is missing; name it, or set {STORAGE_VARIABLE}")
    settings = SharedSettings(url, "any", origin=origin)
    if url.startswith("grpc:"):
        raise InputError(f"{origin} {settings.visible_url}: a proxy itself; name its database")
    _require_database(settings)
    return settings


def _require_proxy(settings: SharedSettings) -> None:
    """Raises: InputError if the URL is not one of a proxy, or what connects to it is not installed."""
    address = settings.grpc_address
    if address is None or not 0 < address[1] < 65_536:
        raise InputError(
            f"{settings.origin} {settings.visible_url}: must be grpc://HOST:PORT, as in grpc://10.0.0.5:13000"
        )
    _require_package("grpc", settings)


def _require_database(settings: SharedSettings, others: str = "") -> None:
    """Raises: InputError if the URL is not one of a database, or what connects to it is not installed.

    `others` are other storages that the message names.
    """
    if not settings.url.startswith(f"{SCHEME}://"):
        raise InputError(
            f"{settings.origin} {settings.visible_url}: not a {'storage' if others else 'database'}; use "
            f"{SCHEME}://USER:PASSWORD@HOST/DATABASE{others}"
        )
    require_storage_url(settings.url, settings.origin)
    _require_package("psycopg", settings)


def _require_package(name: str, settings: SharedSettings) -> None:
    if find_spec(name) is None:
        raise InputError(
            f"{settings.origin} {settings.visible_url}: needs the package {name}; pip install 'lightcnn[postgres]'"
        )
