"""The problems of a document: every error of pydantic with its line, its place, its rule and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from lightcnn.errors import Problem
from lightcnn.text import nearest, not_one_of

MAX_VALUE_CHARACTERS = 60
"""Length to which a value is shortened in a message."""
PYDANTIC_PARTS = (
    "function-after[_check()", "function-before", "lax-or-strict", "int", "list", "float", "str", "dict", "bool",
    "none", "[key]",
)  # fmt: skip
"""Parts of a location in an error of pydantic that are not keys of the document."""
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    tuple: "a list",
    dict: "a mapping",
}
"""What the value of a key must be, by its type."""
Path = tuple[Any, ...]


def listed_problems(
    model: type[BaseModel],
    error: ValidationError,
    file: str,
    lines: Mapping[Path, int],
    options: Mapping[Path, str],
) -> list[Problem]:
    """Every problem of a document once, those of options first, then in the order of the lines of the file.

    `lines` maps a path in the document to its line, `options` a path to the command-line option that set it.
    """
    details = error.errors(include_url=False)
    # A list without its wrong items is also too short: only the cause is reported.
    causes = [d for d in details if d["type"] != "too_short" or not any(_inside(e["loc"], d["loc"]) for e in details)]
    problems = dict.fromkeys(_problem(model, detail, file, lines, options) for detail in causes)
    return sorted(problems, key=lambda problem: problem.line or 0)


def format_value(value: Any) -> str:
    """A value as Python writes it, shortened."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 3]}..."


def _problem(
    model: type[BaseModel],
    detail: Any,
    file: str,
    lines: Mapping[Path, int],
    options: Mapping[Path, str],
) -> Problem:
    location = detail["loc"]
    if detail["type"] == "missing" and isinstance(detail["input"], list):  # too few values: the problem of the list
        location = location[:-1]
    owner, path, choices = _locate(model, location)
    context = detail.get("ctx", {})
    if "path" in context:
        path += tuple(int(part) if part.isdigit() else part for part in context["path"].split(".") if part)
    message = _message(detail, context, owner, location[-1] if location else "", choices)
    for set_path, option in options.items():
        if path[: len(set_path)] == set_path or (set_path[: len(path)] == path and path not in lines):
            return Problem(option, ".".join(map(str, path[len(set_path) :])), message)
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), lines.get(()))
    return Problem(file, ".".join(map(str, path)), message, line)


def _message(detail: Any, context: Any, owner: type[BaseModel] | None, key: Any, choices: list[type[BaseModel]]) -> str:
    value, field = format_value(detail["input"]), owner.model_fields.get(key) if owner else None
    match detail["type"]:
        case "extra_forbidden":
            names = list(owner.model_fields) if owner else []
            return f"unknown key '{key}' (value {value}){nearest(str(key), names) or '; known: ' + ', '.join(names)}"
        case "missing" | "too_long" | "too_short" if isinstance(detail["input"], (list, dict)):
            return _number_of_values(detail, context, field, key)
        case "union_tag_invalid":
            tags = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
            return f"'{context['tag']}' is not one of the kinds {', '.join(tags)}{nearest(context['tag'], tags)}"
        case "union_tag_not_found":
            return f"the key 'kind' is missing; add it (one of {', '.join(map(str, map(_tag, choices)))})"
        case "literal_error":
            names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
            return not_one_of(detail["input"], names)
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping of keys to values, not {value}"
        case "list_type" | "tuple_type":
            return f"must be a list, not {value}"
        case "rule" | "change":
            return str(context["message"])
    rule = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{rule}, not {value}"


def _number_of_values(detail: Any, context: Any, field: FieldInfo | None, key: Any) -> str:
    """The message for a key that is missing, or for a list or mapping with too few or too many values."""
    if isinstance(detail["input"], dict) and detail["type"] == "missing":
        return f"the key '{key}' is missing; add it{f' ({_wanted(field)})' if field else ''}"
    parts = get_args(field.annotation) if field else ()
    if get_origin(field.annotation if field else None) is tuple and Ellipsis not in parts:
        names = f" ({field.description})" if field and field.description else ""
        return f"must have {len(parts)} values{names}, not {format_value(detail['input'])}"
    word = "at most" if detail["type"] == "too_long" else "at least"
    limit = context.get("max_length", context.get("min_length"))
    return f"must have {word} {limit} {'value' if limit == 1 else 'values'}, not {len(detail['input'])}"


def _wanted(field: FieldInfo) -> str:
    """What the value of a field must be, in words."""
    annotation, models = field.annotation, list(_models(field.annotation))
    origin = get_origin(annotation)
    if models and origin is not tuple:
        required = [
            ", ".join(name for name, key in model.model_fields.items() if key.is_required()) for model in models
        ]
        return f"a mapping with {' or '.join(f'the keys {names}' for names in dict.fromkeys(required) if names)}"
    if models:
        return "a list of mappings of keys to values"
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    lowest = [f", at least {item.ge}" for item in field.metadata if hasattr(item, "ge")]
    word = WORDS.get(origin or annotation, "a value") + "".join(lowest[:1])
    return word if not field.description else f"{word}: {field.description}"


def _locate(model: type[BaseModel], location: Path) -> tuple[type[BaseModel] | None, Path, list[type[BaseModel]]]:
    """The model that has the last key of a location in an error of pydantic, and the location without other parts.

    The last of the three are the models that the value there can be of.
    """
    owner: type[BaseModel] | None = model
    path: list[Any] = []
    pending = [model]
    for part in location:
        tagged = (
            [m for m in pending if _tag(m) == part] if part not in {f for m in pending for f in m.model_fields} else []
        )
        if tagged and len(pending) > 1:
            pending = tagged
            owner = tagged[0]
            continue
        if part in PYDANTIC_PARTS:
            continue
        path.append(part)
        if isinstance(part, int):
            owner = pending[0] if len(pending) == 1 else None
            continue
        owner = next((m for m in pending if part in m.model_fields), pending[0] if pending else None)
        if owner is not None and part in owner.model_fields:
            pending = list(_models(owner.model_fields[part].annotation))
    return owner, tuple(path), pending


def _tag(model: type[BaseModel]) -> Any:
    """How pydantic names a model of a union: by its kind, or by its class if a function selects the model."""
    field = model.model_fields.get("kind")
    return (get_args(field.annotation) or (None,))[0] if field else model.__name__


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model class inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _inside(location: Path, outer: Path) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer
