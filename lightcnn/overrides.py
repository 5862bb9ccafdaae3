"""What the command line changes in a YAML document before it is read: `--set key.path=value`. No torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn import document
from lightcnn.document import Model
from lightcnn.errors import DocumentError, InputError


@dataclass(frozen=True)
class Override:
    """One value, where it goes, and the option that gave it, which errors name."""

    option: str
    path: tuple[str | int, ...]
    value: Any


def parse_assignment(assignment: str) -> Override:
    """`key.path=value` as people type it: a number in the path is a place in a list, the value is YAML.

    Raises: InputError.
    """
    key, equals, text = assignment.partition("=")
    parts = split_path(key)
    if not equals or "" in parts:
        raise InputError(f"--set {assignment}: no assignment; give key.path=value, as in training.epochs=20")
    option = f"--set {key.strip()}"
    try:
        data, _ = document.plain_data(f"value: {text}", option)
    except DocumentError as error:
        raise InputError(f"{option}: {error.problems[0].message}") from None
    if not isinstance(data, dict) or data.keys() != {"value"}:
        raise InputError(f"{option}: {text!r} is no single value; give a number, a word, [a list] or {{a: mapping}}")
    return Override(option, parts, data["value"])


def split_path(key: str) -> tuple[str | int, ...]:
    """`key.path` in its parts; a number is a place in a list."""
    return tuple(int(part) if part.isdecimal() else part for part in key.strip().split("."))


def parse(model: type[Model], text: str, file: str, changes: Sequence[Override]) -> Model:
    """YAML text with changes, read as `model`. Raises: DocumentError, whose problems name the options they are from."""
    data, lines = document.plain_data(text, file)
    return validate(model, data, file, changes, lines)


def validate(
    model: type[Model],
    data: Any,
    file: str,
    changes: Sequence[Override],
    lines: Mapping[tuple[Any, ...], int] | None = None,
) -> Model:
    """Plain data with changes, checked as `model`; `lines` say where in the file a path stands. Raises: as `parse`."""
    changed = copy.deepcopy(data)
    for change in changes:
        _apply(changed, change)
    options = {change.path: change.option for change in changes}
    return document.validate(model, changed, file, lines or {}, options)


def _apply(data: Any, change: Override) -> None:
    """Puts a value where it goes; mappings that are not there are made. Raises: InputError."""
    here = data
    for place, part in enumerate(change.path):
        so_far = ".".join(map(str, change.path[:place]))
        if isinstance(here, list):
            if not isinstance(part, int) or part >= len(here):
                raise InputError(f"{change.option}: {so_far} is a list of {len(here)}; give a place from 0 in it")
        elif isinstance(here, dict):
            part = str(part)
        else:
            raise InputError(f"{change.option}: {so_far} is {here!r}, which has no keys; set it as a whole")
        if place == len(change.path) - 1:
            here[part] = change.value
        else:
            if isinstance(here, dict) and here.get(part) is None:
                here[part] = {}
            here = here[part]
