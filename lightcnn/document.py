"""YAML documents and the frozen models that they are read into: one loader, one writer, every problem with its place.

Documents are YAML 1.2: `1e-3` is a number and `no` a word. Duplicate keys, aliases, tags, dates and texts of more than
200,000 characters or 10,000 values are refused. Shipped files (`search_spaces/`, `recipes/`) are found by their bare
names.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.emitter import Emitter
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lightcnn.document_problems import format_value, listed_problems
from lightcnn.errors import DocumentError, InputError, Problem
from lightcnn.text import NOT_UTF8, first_line, is_utf8, nearest

Model = TypeVar("Model", bound=BaseModel)
MAX_CHARACTERS = 1_000_000
"""Length of the longest file that is read."""
MAX_YAML_CHARACTERS = 200_000
"""Length of the longest YAML text that is read: the parser needs a second for it."""
MAX_VALUES = 10_000
"""Number of keys and values of the largest YAML text that is read."""
MAX_DEPTH = 20
"""Nesting depth of the deepest YAML text that is read: the time of a scan grows with it."""
MAX_PROBLEMS = 100
"""Number of problems of one document that are listed."""
FOREIGN = "this is not a document of lightcnn"


class Frozen(BaseModel):
    """Base of all models that are read from YAML: immutable, strict, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed, which are not checked; whole numbers of NumPy become those of Python."""
        return super().model_copy(update=plain_integers(dict(update or {})), deep=deep)


def plain_integers(value: Any) -> Any:
    """The value with an `int` in place of other whole numbers, such as NumPy's, also inside of tuples and dicts."""
    if isinstance(value, Integral) and not isinstance(value, int):
        return int(value)
    if type(value) is tuple:
        return tuple(plain_integers(part) for part in value)
    if type(value) is dict:
        return {key: plain_integers(part) for key, part in value.items()}
    return value


def rule_error(path: str, message: str) -> PydanticCustomError:
    """The error of a rule that spans several keys; `path` is the place (`a.b.0`), relative to the model that checks."""
    return PydanticCustomError("rule", "{message}", {"path": path, "message": message})


class KeyEmitter(Emitter):
    """Writes every key on one line, as YAML asks for: ruamel.yaml ends lines in keys that have spaces."""

    def write_plain(self, text: Any, split: Any = True) -> None:
        width = self.best_width
        self.best_width = width if split else sys.maxsize
        super().write_plain(text, split)
        self.best_width = width


def load(model: type[Model], path: str | Path) -> Model:
    """Reads a YAML file into a model. Raises: DocumentError with every problem of the file."""
    return parse(model, read_text(path), str(path))


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file of at most `MAX_CHARACTERS`. Raises: DocumentError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise DocumentError([Problem(str(path), "", "not UTF-8 text; save it as UTF-8")]) from None
    except OSError as error:
        raise DocumentError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    if len(text) > MAX_CHARACTERS:
        rule = f"longer than {MAX_CHARACTERS} characters; {FOREIGN}"
        raise DocumentError([Problem(str(path), "", rule)])
    return text


def parse(model: type[Model], text: str, file: str = "<text>") -> Model:
    """Reads YAML text into a model. Raises: DocumentError with every problem of the text."""
    data, lines = plain_data(text, file)
    return validate(model, data, file, lines)


def validate(
    model: type[Model],
    data: Any,
    file: str,
    lines: Mapping[tuple[Any, ...], int],
    options: Mapping[tuple[Any, ...], str] | None = None,
) -> Model:
    """Reads plain data into a model.

    `lines` maps a path in the data to its line in `file`, `options` a path to the command-line option that set it.
    Raises: DocumentError with every problem of the data.
    """
    if not isinstance(data, dict):
        raise DocumentError([_not_a_mapping(file, data)])
    _require_utf8(data, (), file, lines, options or {})
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        problems = listed_problems(model, error, file, lines, options or {})
        if len(problems) > MAX_PROBLEMS:
            more = Problem(file, "", f"{len(problems) - MAX_PROBLEMS:,} more problems are not listed")
            problems = [*problems[:MAX_PROBLEMS], more]
        raise DocumentError(problems) from None


def make(model: type[Model], values: Mapping[str, Any], command: str) -> Model:
    """A model of the values that a Python function was given, by the names of its arguments.

    Raises: InputError, in one line that starts with the name of the command, if a value is wrong.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(str(listed_problems(model, error, command, {}, {})[0])) from None


def keys(text: str, file: str = "<text>") -> set[str]:
    """The top-level keys of a YAML text. Raises: DocumentError if it is not a mapping."""
    data, _ = plain_data(text, file)
    if not isinstance(data, dict):
        raise DocumentError([_not_a_mapping(file, data)])
    return {str(key) for key in data}


def save(model: BaseModel, path: str | Path, header: str = "") -> None:
    """Writes a model as YAML without the values that equal their defaults; the lines of `header` become comments."""
    Path(path).write_text(dump(model, header), encoding="utf-8")


def dump(model: BaseModel, header: str = "", exclude_defaults: bool = True) -> str:
    """A model as YAML text, from which `parse` reads an equal model."""
    stream = io.StringIO()
    stream.writelines(f"# {line}\n" for line in header.splitlines())
    writer = YAML(typ="safe", pure=True)
    writer.Emitter = KeyEmitter
    writer.default_flow_style = None
    writer.width = 120
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(_with_kind(model, exclude_defaults), stream)
    return stream.getvalue()


def _with_kind(value: Any, exclude_defaults: bool) -> Any:
    """Like `model_dump`, but keeps the key `kind` of a block, which always equals its default."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            name: _with_kind(item, exclude_defaults)
            for name, item in value
            if not exclude_defaults
            or name == "kind"
            or fields[name].is_required()
            or item != fields[name].get_default()
        }
    if isinstance(value, (tuple, list)):
        return [_with_kind(item, exclude_defaults) for item in value]
    if isinstance(value, dict):
        return {key: _with_kind(item, exclude_defaults) for key, item in value.items()}
    return value


def shipped(kind: str) -> dict[str, Path]:
    """Name → file of all shipped files of a kind (`search_spaces` or `recipes`), in a clone and in a wheel."""
    package = Path(__file__).parent
    for folder in (package / "shipped" / kind, package.parent / kind):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    raise FileNotFoundError(f"this installation of lightcnn lacks its {kind}")


def find(kind: str, name: str) -> Path:
    """The file of that path, or the shipped file of that name. Raises: InputError if there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    files = shipped(kind)
    stem = path.name.removesuffix(".yaml")
    if stem in files and (path.name == name or path.parent.name == kind):
        return files[stem]
    word = kind.replace("_", " ").rstrip("s")
    raise InputError(f"{name}: no such file and no shipped {word}{nearest(stem, files)}; shipped: {', '.join(files)}")


def plain_data(text: str, file: str) -> tuple[Any, dict[tuple[Any, ...], int]]:
    """The plain data of a YAML text, and the line (from 1) of every path in it. Raises: DocumentError."""
    if not is_utf8(text):
        raise DocumentError([Problem(file, "", "contains text that is not UTF-8; write it in UTF-8")])
    try:
        _require_plain(text, file)
        node = YAML(typ="safe", pure=True).compose(text)
        data = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        reason = first_line(error.problem or error.context)
        raise DocumentError([Problem(file, "", f"not readable as YAML: {reason}", line)]) from None
    except (YAMLError, ValueError) as error:
        raise DocumentError([Problem(file, "", f"not readable as YAML: {first_line(error)}")]) from None
    except TypeError:
        raise DocumentError(
            [Problem(file, "", "contains a date or another value that is neither text nor a number; put it in quotes")]
        ) from None
    return data, dict(_lines(node, ()))


def _require_plain(text: str, file: str) -> None:
    """Refuses the parts of YAML that no document of lightcnn needs. Raises: DocumentError, YAMLError."""
    if len(text) > MAX_YAML_CHARACTERS:
        raise DocumentError([Problem(file, "", f"longer than {MAX_YAML_CHARACTERS} characters; {FOREIGN}")])
    depth = values = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise DocumentError([_at(file, event, "anchors and aliases are not read; write the value out")])
        if getattr(event, "tag", None):
            raise DocumentError([_at(file, event, f"the tag {event.tag} is not read; write a plain value")])
        if getattr(event, "version", None) not in (None, (1, 2)):
            raise DocumentError([_at(file, event, "only YAML 1.2 is read; remove the %YAML line")])
        values += isinstance(event, ScalarEvent)
        if values > MAX_VALUES:
            raise DocumentError([_at(file, event, f"more than {MAX_VALUES} keys and values; {FOREIGN}")])
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise DocumentError([_at(file, event, f"nested too deeply; {FOREIGN}")])


def _require_utf8(
    value: Any,
    path: tuple[Any, ...],
    file: str,
    lines: Mapping[tuple[Any, ...], int],
    options: Mapping[tuple[Any, ...], str],
) -> None:
    """Raises: DocumentError for the first text that is not UTF-8, such as the name of a file in another encoding."""
    if isinstance(value, str) and not is_utf8(value):
        where = (options[path], "", None) if path in options else (file, ".".join(map(str, path)), lines.get(path))
        raise DocumentError([Problem(where[0], where[1], f"{value!r} {NOT_UTF8}", where[2])])
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _require_utf8(key, (*path, key), file, lines, options)
        _require_utf8(item, (*path, key), file, lines, options)


def _not_a_mapping(file: str, data: Any) -> Problem:
    return Problem(file, "", f"must be a mapping of keys to values, not {format_value(data)}")


def _at(file: str, event: Any, message: str) -> Problem:
    return Problem(file, "", message, event.start_mark.line + 1)


def _lines(node: Node | None, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int]]:
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                continue
            yield from _lines(value, (*path, key.value))
            yield (*path, key.value), key.start_mark.line + 1
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index))
