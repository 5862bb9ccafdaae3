"""Values that the command line sets in a YAML document before it is read: `--set key.path=value`. No torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn import document
from lightcnn.document import Frozen, Model
from lightcnn.errors import DocumentError, InputError


@dataclass(frozen=True)
class Override:
    """A value, its place in the document, and the option that set it, which error messages name."""

    option: str
    path: tuple[str | int, ...]
    value: Any


def parse_assignment(assignment: str) -> Override:
    """Reads `key.path=value` as typed; a number in the path is an index in a list, the value is YAML.

    Raises: InputError.
    """
    key, equals, text = assignment.partition("=")
    path = split_path(key)
    if not equals or "" in path:
        raise InputError(f"--set {assignment}: not an assignment; write key.path=value, as in training.epochs=20")
    option = f"--set {key.strip()}"
    try:
        data, _ = document.plain_data(f"value: {text}", option)
    except DocumentError as error:
        raise InputError(f"{option}: {error.problems[0].message}") from None
    if not isinstance(data, dict) or data.keys() != {"value"}:
        rule = f"{text!r} is not a single value; write a number, a word, [a list] or {{a: mapping}}"
        raise InputError(f"{option}: {rule}")
    return Override(option, path, data["value"])


def split_path(key: str) -> tuple[str | int, ...]:
    """The parts of `key.path`; a number is an index in a list."""
    return tuple(int(part) if part.isdecimal() else part for part in key.strip().split("."))


def leaves(model: Frozen) -> dict[str, Any]:
    """Every value of a document by its dotted path, as `--set` writes it."""
    return dict(_flat(model.model_dump(mode="json"), ""))


def parse(model: type[Model], text: str, file: str, overrides: Sequence[Override]) -> Model:
    """Reads YAML text with overrides into a model. Raises: DocumentError, whose problems name the options."""
    data, lines = document.plain_data(text, file)
    return validate(model, data, file, overrides, lines)


def validate(
    model: type[Model],
    data: Any,
    file: str,
    overrides: Sequence[Override],
    lines: Mapping[tuple[Any, ...], int] | None = None,
) -> Model:
    """Reads plain data with overrides into a model; `lines` maps a path to its line in the file. Raises: as `parse`."""
    overridden = copy.deepcopy(data)
    for override in overrides:
        _apply(overridden, override)
    options = {override.path: override.option for override in overrides}
    return document.validate(model, overridden, file, lines or {}, options)


def _apply(data: Any, override: Override) -> None:
    """Sets the value in place; missing mappings are created. Raises: InputError."""
    node = data
    for depth, part in enumerate(override.path):
        parent = ".".join(map(str, override.path[:depth]))
        if isinstance(node, list):
            if not isinstance(part, int) or part >= len(node):
                rule = f"{parent} is a list of {len(node)} items, counted from 0; it has no item {part}"
                raise InputError(f"{override.option}: {rule}")
        elif isinstance(node, dict):
            part = str(part)
        else:
            raise InputError(f"{override.option}: {parent} is {node!r}, which has no keys; set {parent} as a whole")
        if depth == len(override.path) - 1:
            node[part] = override.value
        else:
            if isinstance(node, dict) and node.get(part) is None:
                node[part] = {}
            node = node[part]


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every leaf."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [leaf for key, part in pairs for leaf in _flat(part, f"{path}.{key}" if path else str(key))]
    yield from inner or [(path, value)]
