"""What `lightcnn explain` is asked to do, and explain.json, with which a resumed run is compared. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral
from pathlib import Path
from typing import Any

from lightcnn.errors import InputError, RunError
from lightcnn.explaining.methods.catalogue import (
    DEFAULT_METHODS,
    METHODS,
    MODEL_FREE_METHODS,
    MethodOptions,
    require_method,
)
from lightcnn.exported_metadata import is_exported
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

    `run` is the folder of the explained run, or an exported file. Without `inputs` (files and folders), at most
    `images` images of the test set of the run's data, or of `data`, are explained. Without `methods`, a run is
    explained by DEFAULT_METHODS and a file by MODEL_FREE_METHODS. `target` is a class; by default each image's
    predicted class is explained. `masks` is a folder of ground-truth masks. `labels` and `input` are the class names
    and the input size of a file that lightcnn did not write.
    """

    run: Path
    inputs: tuple[Path, ...] = ()
    methods: tuple[str, ...] = ()
    target: str | None = None
    options: MethodOptions = field(default_factory=MethodOptions)
    checks: str = "quick"
    masks: Path | None = None
    data: str | None = None
    images: int = DEFAULT_IMAGES
    batch: int | None = None
    device: str = "auto"
    data_dir: Path | None = None
    labels: Path | None = None
    input: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Raises: InputError for settings that exclude each other."""
        if self.inputs and self.data is not None:
            raise InputError("--data: images are given already; give images, or the data whose test set is explained")

    @property
    def unique_methods(self) -> tuple[str, ...]:
        """The methods in their order, each once."""
        default = MODEL_FREE_METHODS if is_exported(self.run) else DEFAULT_METHODS
        return tuple(dict.fromkeys(self.methods or default))

    def document(self, digests: Mapping[str, str]) -> dict[str, Any]:
        """explain.json: everything that the maps depend on, with the SHA-256 of what is explained, by name."""
        size = self.input and "x".join(map(str, self.input))
        optional = {"masks": self.masks, "data": self.data, "labels": self.labels, "input": size}
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
    run = RunFolder.load(path)
    run.require(*SOURCE_FILES.values())
    return run


def require_usable(settings: ExplainSettings) -> None:
    """Checks names and paths before torch is loaded. Raises: InputError if one cannot be used."""
    from lightcnn.data.files.walk import count_images
    from lightcnn.explaining.images.masks import MaskFolder

    require_level(settings.checks)
    for name in settings.methods:
        require_method(name)
    if is_exported(settings.run):
        _require_for_file(settings)
    else:
        _require_for_run(settings)
    if settings.inputs:
        count_images(settings.inputs, "explain")
    if settings.masks is not None:
        MaskFolder(settings.masks)


def _require_for_run(settings: ExplainSettings) -> None:
    """Raises: InputError for a run that cannot be explained, or options that only files have."""
    from lightcnn.data.preprocess import read_preprocess

    if settings.labels is not None or settings.input is not None:
        raise InputError(f"--labels, --input: {settings.run} is a run, which states both; leave them out")
    run = require_run(settings.run)
    find_target(read_preprocess(run / SOURCE_FILES["preprocessing"]).classes, settings.target)


def _require_for_file(settings: ExplainSettings) -> None:
    """Raises: InputError for what an exported file does not give."""
    layer, level = settings.options.layer, CheckLevel(settings.checks)
    require_of_file(settings.run, methods=settings.methods, layer=layer, level=level)
    if not settings.inputs:
        raise InputError(f"{settings.run}: an exported file has no test set; give images, or the run folder")


def require_of_file(file: Path, *, methods: Sequence[str], layer: str | None, level: CheckLevel) -> None:
    """Raises: InputError if a method or a check needs what an exported file does not give."""
    for name in methods:
        if name not in MODEL_FREE_METHODS:
            raise InputError(
                f"--method {name}: needs the {METHODS[name].needs} of the network, which {file} does not give; "
                f"use {' or '.join(MODEL_FREE_METHODS)}, or give the run folder"
            )
    if layer is not None:
        raise _no_layers(file)
    if level == CheckLevel.full:
        raise InputError(
            f"--checks full: randomises the weights of the network, which {file} does not give; use --checks "
            "quick, or give the run folder"
        )


def require_layers(settings: ExplainSettings) -> None:
    """Raises: InputError for an exported file, whose layers methods cannot read."""
    if is_exported(settings.run):
        raise _no_layers(settings.run)


def _no_layers(file: Path) -> InputError:
    return InputError(f"--layer: {file} does not give the layers of its network; give the run folder")


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
