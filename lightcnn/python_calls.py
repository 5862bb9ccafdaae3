"""Errors of calls from Python: they name arguments, where those of a command name options."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from lightcnn.document import plain_integers
from lightcnn.errors import InputError, LightcnnError
from lightcnn.recipe import Reading

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
COMMAND = re.compile(r"(`[^`]*`|lightcnn [a-z]+ -.*)")
"""A command to be typed into a shell, which stays as it is."""
FIRST = re.compile(r"^--([a-z-]+)(?: (.*?))?: ")
"""The option and the value that a message is about."""
SET = re.compile(r"--set (?=\S)")
OPTION = re.compile(r"--([a-z][a-z-]*)(?: (?!(?:and|or|is|out)\b)([\w./\[][\w./\[\]-]*))?")
"""Another option, and a value that is not a word of the sentence."""
FLAGS = ("resume", "resplit", "allow-leak", "skip-corrupt", "require-data", "fast", "thorough")
"""Options without a value, after which the sentence continues."""

PATH_TYPES = {"str", "Path", "Run", "RunFolder", "Recipe", "None"}
"""What a parameter takes that is for paths."""


def python_call(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Words the errors of a public function for its callers: `--input 8` becomes `input=8`.

    Values of other types are refused where a parameter is for paths. Whole numbers of NumPy become those of Python.
    """
    signature = inspect.signature(function)
    call: Callable[..., Result] = function

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # the call below states what is missing or unknown
        for name, value in given.items():
            require_path(name, value, signature.parameters[name].annotation)
        try:
            return call(*plain_integers(args), **plain_integers(kwargs))
        except LightcnnError as error:
            error.args = (in_python(str(error), signature.parameters),)
            raise

    return wrapper


def require_path(name: str, value: object, annotation: object) -> None:
    """Raises: InputError if a parameter is for paths, such as `str | Path | None`, and takes no value of this type."""
    accepted = str(annotation).split(" | ")
    if "Path" not in accepted or not PATH_TYPES.issuperset(accepted) or isinstance(value, os.PathLike):
        return
    if (value is None and "None" in accepted) or {each.__name__ for each in type(value).__mro__} & {*accepted}:
        return
    types = [each for each in accepted if each != "None"]
    raise InputError(f"{name}: has type {type(value).__name__}; give one of: {', '.join(types)}")


def in_python(message: str, parameters: Mapping[str, object]) -> str:
    """A message with arguments in place of options; `parameters` are those of the function that was called.

    Options of how data are read are values of `Reading`, unless the function has a parameter of that name.
    """

    def replaced(match: re.Match[str]) -> str:
        name, value = match[1].replace("-", "_"), match[2] or ""
        is_reading = name in Reading.model_fields and name not in parameters
        if match[1] in FLAGS:
            text, rest = f"{name}=True", f" {value}" if value else ""
        else:
            text, rest = f"{name}={_literal(value)}" if value else f"{name}=..." if is_reading else name, ""
        return (f"Reading({text})" if is_reading else text) + rest

    first = FIRST.match(message)
    if first:
        value = f"={first[2]}" if first[2] else ""
        return f"{first[1].replace('-', '_')}{value}: " + in_python(message[first.end() :], parameters)
    parts = COMMAND.split(message)
    parts[::2] = [OPTION.sub(replaced, SET.sub("set ", part)) for part in parts[::2]]
    return "".join(parts)


def _literal(value: str) -> str:
    """A value as it is written in Python; a placeholder such as SOURCE stays."""
    return value if value[0].isdigit() or value[0].isupper() or value[0] == "[" else repr(value)
