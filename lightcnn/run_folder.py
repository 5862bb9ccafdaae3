"""The run folder: what every verb leaves on disk, and reading it back. No torch.

Files are written whole or not at all, and nothing is overwritten: a folder belongs to one run.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from lightcnn.errors import RunError
from lightcnn.version import __version__

PACKAGES = (
    "torch",
    "optuna",
    "numpy",
    "scikit-learn",
    "fvcore",
    "thop",
    "pydantic",
    "safetensors",
    "pillow",
    "opencv-python-headless",
    "faiss-cpu",
    "onnxruntime",
)


class RunFolder:
    """A run folder. `create` makes a new one, `load` opens one that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: str | Path | None, command: str, files: Mapping[str, bytes]) -> Self:
        """A fresh folder with `files` in it: `out`, or one under runs/; it is there whole or not at all.

        Raises: RunError where it exists or cannot be made.
        """
        path = cls.require_free(Path(out) if out else cls.default_path(command))
        temporary = cls(path.with_name(f".{path.name}.{os.getpid()}"))
        try:
            temporary.path.mkdir(parents=True)
            for name, content in files.items():
                temporary.write_bytes(name, content)
            temporary.write_json("environment.json", environment())
            temporary.path.rename(path)
        except BaseException as error:
            shutil.rmtree(temporary.path, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            raise RunError(
                f"--out {path}: cannot be made ({error.strerror}); choose a folder you may write to"
            ) from None
        return cls(path)

    @staticmethod
    def require_free(path: Path) -> Path:
        """`path`, where nothing is there yet. Raises: RunError."""
        try:
            path.lstat()
            taken = True
        except FileNotFoundError:
            taken = False
        except OSError as error:
            raise RunError(
                f"--out {path}: cannot be made ({error.strerror}); choose a folder you may write to"
            ) from None
        if taken:
            raise RunError(
                f"--out {path}: exists already; give a fresh folder, or --resume where what was begun there is to go on"
            )
        return path

    @classmethod
    def resumed(cls, out: str | Path | None, *, resume: bool, command: str, settings: str) -> Self | None:
        """The run folder `out` that a job resumes; None for a new run, for which `out` must be free.

        `settings` is the file that `lightcnn COMMAND` writes first. Raises: RunError.
        """
        if not resume:
            if out is not None:
                cls.require_free(Path(out))
            return None
        if out is None:
            raise RunError("--resume: --out is missing; name the run folder to resume")
        run = cls.load(out)
        if not (run / settings).is_file():
            raise RunError(
                f"--resume: {run.path} is not a run of `lightcnn {command}` (it has no {settings}); name the folder "
                f"that `lightcnn {command}` wrote"
            )
        return run

    @staticmethod
    def default_path(command: str) -> Path:
        """The folder that a run gets where none is named: `runs/COMMAND-DATE-TIME`."""
        name = f"{command}-{time.strftime('%Y-%m-%d-%H%M%S')}"
        taken = (Path("runs") / name, *(Path("runs") / f"{name}-{i}" for i in range(2, 100)))
        return next(path for path in taken if not path.exists())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The run in a folder. Raises: RunError where there is none."""
        folder = Path(path)
        try:
            if folder.is_file():
                raise RunError(f"run {folder}: a file, not a run folder; give the folder that a command has written")
            if not (folder / "environment.json").is_file():
                raise RunError(f"run {folder}: not a run folder of lightcnn; give one that a command has written")
        except OSError as error:
            raise RunError(f"run {folder}: cannot be read ({error.strerror})") from None
        return cls(folder)

    def require(self, *names: str) -> None:
        """Raises: RunError where the run has not finished, or lacks one of these files."""
        if not (self / "report.json").is_file():
            raise RunError(
                f"run {self.path}: not finished, it has no report.json; go on with --resume --out {self.path}"
            )
        for name in names:
            if not (self / name).is_file():
                one = "one of its parts/" if (self / "parts").is_dir() else "the run of a command that trains"
                raise RunError(f"run {self.path}: has no {name}; give {one}")

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def report(self) -> dict[str, Any]:
        """report.json. Raises: RunError where the run has not finished."""
        self.require()
        try:
            document: dict[str, Any] = json.loads((self / "report.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(
                f"run {self.path}: report.json is damaged ({error}); write it anew with --resume --time"
            ) from None
        return document

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock ends with the process, however it ends. Raises: RunError."""
        lock = FileLock(self / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"run {self.path}: another process works in it; wait for it or end it") from None
        except OSError as error:
            raise RunError(f"run {self.path}: cannot be written to ({error.strerror}); check its permissions") from None
        try:
            yield
        finally:
            lock.release()

    def write_json(self, name: str, document: Any) -> None:
        """Writes one JSON file, whole or not at all."""
        self.write_bytes(name, json_bytes(document))

    def write_csv(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Writes one table, whole or not at all."""
        with tempfile.SpooledTemporaryFile(mode="w+", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
            file.seek(0)
            self.write_bytes(name, file.read().encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes one file under a temporary name and then renames it."""
        target = self / name
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)

    def log(self, message: str) -> None:
        """Adds one line with the time to log.txt."""
        with open(self / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")


def json_bytes(document: Any) -> bytes:
    """A JSON file as bytes; numbers that are not finite are refused."""
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def environment() -> dict[str, Any]:
    """The machine and the versions a run was made with."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "lightcnn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions,
    }


def _processor() -> str:
    """The processor's own name where the system tells it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
