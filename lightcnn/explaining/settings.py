"""What `lightcnn explain` is asked to do, and explain.json, with which a resumed run is compared. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral
from pathlib import Path
from typing import Any

from lightcnn.errors import InputError, RunError
from lightcnn.explaining.methods.catalogue import DEFAULT_METHODS, MethodOptions, require_method
from lightcnn.run_folder import RunFolder
from lightcnn.text import nearest, not_one_of, shorten, visible

SETTINGS_FILE = "explain.json"
DEFAULT_IMAGES = 24
"""Maximum number of test images that are explained by default."""
SOURCE_FILES = {"weights": "weights.safetensors", "network": "spec.yaml", "preprocessing": "preprocess.json"}
"""Files of the explained run on which all maps depend."""
MAX_VALUE_LENGTH = 60
"""Characters of a value in an error."""
MAX_LISTED = 20
"""Number of classes that an error names."""


class CheckLevel(StrEnum):
    """How thoroughly maps are checked."""

    quick = "quick"
    full = "full"
    none = "none"


@dataclass(frozen=True)
class ExplainSettings:
    """The input of `lightcnn explain`.

    `run` is the folder of the explained run. Without `inputs` (files and folders), at most `images` images of the test
    set of the run's data, or of `data`, are explained. `target` is a class; by default each image's predicted class is
    explained. `masks` is a folder of ground-truth masks.
    """

    run: Path
    inputs: tuple[Path, ...] = ()
    methods: tuple[str, ...] = DEFAULT_METHODS
    target: str | None = None
    options: MethodOptions = field(default_factory=MethodOptions)
    checks: str = "quick"
    masks: Path | None = None
    data: str | None = None
    images: int = DEFAULT_IMAGES
    batch: int | None = None
    device: str = "auto"
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        """Raises: InputError for settings that exclude each other."""
        if self.inputs and self.data is not None:
            raise InputError("--data: images are given already; give images, or the data whose test set is explained")

    @property
    def unique_methods(self) -> tuple[str, ...]:
        """The methods in their order, each once."""
        return tuple(dict.fromkeys(self.methods))

    def document(self, source: RunFolder) -> dict[str, Any]:
        """explain.json: everything that the maps depend on, with the SHA-256 of the files of the explained run."""
        optional = {"masks": self.masks, "data": self.data}
        digests = {name: source.sha256(file) for name, file in SOURCE_FILES.items()}
        return {
            **{name: str(value) for name, value in optional.items() if value},
            **digests,
            "images": [str(path) for path in self.inputs] or self.images,
            "methods": list(self.unique_methods),
            "options": self.options.model_dump(),
            "target": self.target,
            "checks": str(self.checks),
        }


def require_level(name: str) -> CheckLevel:
    """The check level with that name. Raises: InputError."""
    if name not in list(CheckLevel):
        raise InputError(f"--checks: {not_one_of(name, CheckLevel)}")
    return CheckLevel(name)


def require_run(path: Path) -> RunFolder:
    """The finished run to explain. Raises: RunError if it is none."""
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        raise RunError(f"run {path}: exported models cannot be explained yet; give the run folder it was exported from")
    run = RunFolder.load(path)
    run.require(*SOURCE_FILES.values())
    return run


def require_usable(settings: ExplainSettings) -> None:
    """Checks names and paths before torch is loaded. Raises: InputError if one cannot be used."""
    from lightcnn.data.files.walk import count_images
    from lightcnn.data.preprocess import read_preprocess
    from lightcnn.explaining.images.masks import MaskFolder

    require_level(settings.checks)
    for name in settings.methods:
        require_method(name)
    run = require_run(settings.run)
    find_target(read_preprocess(run / SOURCE_FILES["preprocessing"]).classes, settings.target)
    if settings.inputs:
        count_images(settings.inputs, "explain")
    if settings.masks is not None:
        MaskFolder(settings.masks)


def find_target(classes: Sequence[str], target: str | int | None) -> int | None:
    """The index of a class given by its name or, from Python, by its index; None for None. Raises: InputError."""
    if target is None:
        return None
    if isinstance(target, Integral) and not isinstance(target, bool):
        if not 0 <= target < len(classes):
            raise InputError(
                f"target {target}: no such class; give a number from 0 to {len(classes) - 1}, or the name of a class"
            )
        return int(target)
    if not isinstance(target, str) or target not in classes:
        more = f" and {len(classes) - MAX_LISTED} more" if len(classes) > MAX_LISTED else ""
        raise InputError(
            f"--target {target}: no such class{nearest(str(target), classes)}; "
            f"known: {', '.join(classes[:MAX_LISTED])}{more}"
        )
    return list(classes).index(target)


def require_same_settings(run: RunFolder, settings: Mapping[str, Any]) -> None:
    """Raises: RunError if explain.json of a resumed run is damaged or differs from `settings`."""
    previous = run.read_json(SETTINGS_FILE)
    for name in sorted(previous.keys() | settings.keys()):
        if previous.get(name) != settings.get(name):
            before, now = (_format_value(values.get(name)) for values in (previous, settings))
            raise RunError(
                f"--resume: {run.path} was started with other {name} ({before}, not {now}); repeat the same command, "
                "or use a new --out"
            )


def _format_value(value: Any) -> str:
    return shorten(visible(str(value)), MAX_VALUE_LENGTH)
