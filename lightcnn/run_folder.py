"""The run folder: what every command leaves on disk, and how it is read back. No torch.

Files are written atomically, and nothing is overwritten: a folder belongs to a single run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from lightcnn import csv_files, interrupt, run_files
from lightcnn.errors import DataError, LightcnnError, RunError
from lightcnn.text import is_utf8, visible
from lightcnn.version import __version__

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
"""Packages whose versions environment.json records."""
VERSION = re.compile(r"\d[0-9A-Za-z.+!-]{0,39}")
"""A version of a Python package; a run folder may hold anything instead."""
MAX_NAMED = 3
"""Skipped images that an error names; the others are counted."""
NETWORK_FILES = ("spec.yaml", "weights.safetensors", "preprocess.json")
"""The files of a run that its trained network is read from."""
DATA_FILE = "data.json"
"""The data of a training, which are known before its report."""


class RunFolder:
    """A run folder. `create` makes a new one, `load` opens an existing one.

    `module`: the own module that is the network of the run, if it was given in Python.
    """

    def __init__(self, path: Path, *, module: Any = None) -> None:
        self.path = path
        self.module = module

    @classmethod
    def create(cls, out: str | Path | None, command: str, files: Mapping[str, bytes]) -> Self:
        """Creates a folder that contains `files`, atomically: the folder `out`, or a new one under runs/.

        Raises: RunError if it already exists or cannot be created.
        """
        interrupt.check()
        path = cls.require_free(Path(out) if out else cls.default_path(command))
        run_files.tidy_abandoned(path.parent)
        temporary = cls(run_files.temporary_name(path))
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
            raise _not_creatable(path, error) from None
        return cls(path)

    @staticmethod
    def require_free(path: Path, *, can_resume: bool = False) -> Path:
        """The path, if nothing exists there yet, and its name is UTF-8. Raises: RunError."""
        if not is_utf8(str(path)):
            raise RunError(f"--out {path}: the name is not UTF-8; choose another one")
        try:
            path.lstat()
        except FileNotFoundError:
            return path
        except OSError as error:
            raise _not_creatable(path, error) from None
        resume = ", or use --resume to continue the run in it" if can_resume else ""
        raise RunError(f"--out {path}: already exists; choose a new folder{resume}")

    @staticmethod
    def require_writable(path: Path) -> Path:
        """The path, if a folder can be made there or the one that exists can be written to. Raises: RunError."""
        existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        code = errno.EACCES if existing.is_dir() else errno.ENOTDIR
        if code == errno.ENOTDIR or not os.access(existing, os.W_OK | os.X_OK):
            raise _not_creatable(path, OSError(code, os.strerror(code)))
        return path

    @classmethod
    def new_path(cls, out: str | Path | None, command: str) -> Path:
        """Where a new run will be: `out`, or a new folder in runs/. Raises: RunError if it exists or cannot be made."""
        return cls.require_writable(cls.require_free(Path(out)) if out is not None else cls.default_path(command))

    @classmethod
    def resumed(cls, out: str | Path | None, *, resume: bool, command: str, settings: str) -> Self | None:
        """The run folder `out` that a job resumes; None for a new run, for which `out` must be free.

        `settings` is the file that `lightcnn COMMAND` writes first. Raises: RunError.
        """
        if not resume:
            if out is not None:
                cls.require_free(Path(out), can_resume=True)
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
        """The folder of a run without --out: `runs/COMMAND-DATE-TIME-XXXX`, where XXXX is random.

        The folder is created after the data are read, and several runs may start in the same second.
        """
        names = (f"{command}-{time.strftime('%Y-%m-%d-%H%M%S')}-{secrets.token_hex(2)}" for _ in range(100))
        return next(path for path in map(Path("runs").joinpath, names) if not path.exists())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Opens a run folder; only the existence of environment.json is checked. Raises: RunError."""
        folder = Path(path)
        if not is_utf8(str(folder)):
            raise RunError(f"run {folder}: the name is not UTF-8; rename the folder")
        try:
            if folder.is_file():
                raise RunError(f"run {folder}: a file, not a run folder; name the folder that a command has written")
            if (cls(folder) / "export.json").is_file():
                raise RunError(f"run {folder}: an export; name the run folder that was exported")
            if not (cls(folder) / "environment.json").is_file():
                raise RunError(f"run {folder}: not a run folder of lightcnn; name one that a command has written")
        except OSError as error:
            raise RunError(f"run {folder}: cannot be read ({error.strerror})") from None
        return cls(folder)

    def require(self, *names: str) -> None:
        """Raises: RunError if the run has not finished, or lacks one of these files."""
        if not (self / "report.json").is_file():
            raise RunError(
                f"run {self.path}: not finished, it has no report.json; continue it with --resume --out {self.path}"
            )
        for name in names:
            if not (self / name).is_file():
                remedy = "one of its parts/" if (self / "parts").is_dir() else "the run of a command that trains"
                raise RunError(f"run {self.path}: has no {name}; give {remedy}")

    def __truediv__(self, name: str) -> Path:
        """The path of a file or folder below the run folder. Raises: RunError if it leads out of it, or is a link."""
        return run_files.resolve(self.path, name)

    def in_place(self, name: str) -> Path:
        """The path of a file that is changed in place. Raises: RunError, also for a hard link to another file."""
        return run_files.resolve_in_place(self.path, name)

    @property
    def report(self) -> dict[str, Any]:
        """The content of report.json. Raises: RunError if the run has not finished."""
        self.require()
        return self.read_json("report.json")

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of report.json; empty if the run read none. Raises: RunError if the run has not finished."""
        data = self.report.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def classes(self) -> list[str]:
        """The classes of the run's data in their order; empty if they are not known."""
        documents = [self.read_json(name) for name in (DATA_FILE, "report.json") if (self / name).is_file()]
        whole = documents and "classes" in documents[0]
        data = documents[0] if whole else documents[-1].get("data") if documents else None
        classes = data.get("classes") if isinstance(data, dict) else None
        return [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []

    def read_json(self, name: str) -> dict[str, Any]:
        """The mapping in a JSON file. Raises: RunError if it is missing, damaged, too large or nested too deeply."""
        document = run_files.read_json(self.path, name)
        if not isinstance(document, dict):
            raise RunError(f"run {self.path}: {name} is not a mapping of keys to values; restore the file of the run")
        return document

    def sha256(self, name: str) -> str:
        """The SHA-256 of a file, in hexadecimal. Raises: RunError if it cannot be read."""
        path = self / name
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunError(f"run {self.path}: {name} cannot be read ({error.strerror})") from None

    def remove(self, name: str) -> None:
        """Removes a file, if it exists. Raises: RunError if it is not a file of the run."""
        path = self / name
        if path.is_dir():
            raise RunError(f"run {self.path}: {name} is a folder, not a file; remove it")
        path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder for this process; the lock ends with the process at the latest. Raises: RunError."""
        from filelock import FileLock, Timeout  # an exported file is predicted without this package

        lock = FileLock(self.in_place(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"run {self.path}: another process works in it; wait for it or end it") from None
        except OSError as error:
            raise RunError(f"run {self.path}: cannot be written to ({error.strerror}); check its permissions") from None
        try:
            run_files.tidy(self.path)
            yield
        finally:
            lock.release()

    @property
    def is_locked(self) -> bool:
        """Whether another process works in the folder; nothing is written. False where that cannot be asked."""
        if fcntl is None:
            return False
        try:
            with open(self / ".lock", "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EAGAIN, errno.EACCES)
        return False

    def write_json(self, name: str, document: Any) -> None:
        """Writes a JSON file atomically."""
        self.write_bytes(name, json_bytes(document))

    def write_csv(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Writes a table atomically, guarded for spreadsheets."""
        self.write_bytes(name, csv_files.write([header, *rows]))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes a file under a temporary name and then renames it."""
        target = self / name
        target.parent.mkdir(exist_ok=True)
        run_files.replace_file(target, content)

    def log(self, message: str) -> None:
        """Appends a line with the time to log.txt."""
        path = self.in_place("log.txt")
        with run_files.naming(path), open(path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {visible(message)}\n")


@contextmanager
def named_by(key: str) -> Iterator[None]:
    """Errors of a run folder begin with the `key`, an option or a path in a recipe, that names the run."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{key}: {error}") from None


def require_complete(
    command: str,
    completed: int,
    skipped: Sequence[Mapping[str, str]],
    failures: Sequence[Mapping[str, str]] = (),
    *,
    name_skipped: bool = True,
) -> None:
    """Checks that a command has processed all of its images, so that its exit code shows if a part failed.

    `completed` images were processed; `skipped` are `{image, reason}` and `failures` are `{image, method, error}`, as
    in report.json. The error names the first skipped images if `name_skipped`.

    Raises: DataError if no image was processed, LightcnnError if images were skipped or methods failed.
    """
    problems = []
    if skipped:
        total = completed + len(skipped)
        names = "; ".join(f"{entry['image']} {entry['reason']}" for entry in skipped[:MAX_NAMED])
        more = "; and more" if len(skipped) > MAX_NAMED else ""
        details = visible(f": {names}{more}") if name_skipped else ""
        if not completed:
            raise DataError(f"{command}: none of {total:,} images could be read{details}")
        problems.append(f"{len(skipped):,} of {total:,} images were skipped{details}")
    if failures:
        methods = ", ".join(dict.fromkeys(entry["method"] for entry in failures))
        images = len({entry["image"] for entry in failures})
        problems.append(visible(f"{methods} could not explain {images:,} images: {failures[0]['error']}"))
    if problems:
        raise LightcnnError(f"{command}: {'; '.join(problems)}")


def json_bytes(document: Any) -> bytes:
    """A JSON file as bytes; numbers that are not finite are refused."""
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def version_of(run: RunFolder) -> str | None:
    """The version of lightcnn that made a run, by environment.json, else by report.json; None if that is not known."""
    for name in ("environment.json", "report.json"):
        with contextlib.suppress(RunError):  # damaged, or not there
            version = run.read_json(name).get("lightcnn")
            if isinstance(version, str) and VERSION.fullmatch(version):
                return version
    return None


def environment() -> dict[str, Any]:
    """The machine and the versions of the packages that a run uses."""
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
    """The name of the processor, if the system reports it."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        return linux_processor(Path("/proc/cpuinfo"), Path("/proc/device-tree/model")) or name
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip() or name
    return name


def linux_processor(cpu: Path, board: Path) -> str:
    """The name of the processor in `/proc/cpuinfo`; on ARM, which has none there, its numbers and the board's name."""
    texts = ["", ""]
    for number, file in enumerate((cpu, board)):
        with contextlib.suppress(OSError):
            texts[number] = file.read_text(encoding="utf-8", errors="replace")
    lines = [line.partition(":") for line in texts[0].splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}  # of the first core
    if "model name" in facts:
        return facts["model name"]
    numbers = [f"{key} {facts[key]}" for key in ("CPU implementer", "CPU part") if key in facts]
    return ", ".join(filter(None, (texts[1].strip("\0 \n"), *numbers)))


def _not_creatable(path: Path, error: OSError) -> RunError:
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another process made it meanwhile
        return RunError(f"--out {path}: already exists; choose a new folder")
    return RunError(f"--out {path}: cannot be made ({error.strerror}); choose a folder that you may write to")
