"""What `lightcnn explain` is asked to do, and explain.json, with which a resumed run is compared. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lightcnn.errors import InputError, RunError
from lightcnn.explaining.methods.catalogue import DEFAULT_METHODS, MethodOptions
from lightcnn.run_folder import RunFolder
from lightcnn.text import not_one_of, shorten, visible

SETTINGS_FILE = "explain.json"
DEFAULT_IMAGES = 24
"""Maximum number of test images that are explained by default."""
SOURCE_FILES = {"weights": "weights.safetensors", "network": "spec.yaml", "preprocessing": "preprocess.json"}
"""Files of the explained run on which all maps depend."""
MAX_VALUE_LENGTH = 60
"""Characters of a value in an error."""


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
