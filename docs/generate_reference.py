"""The text of docs/reference/python.md: every name of `lightcnn.__all__`, and the classifier of scikit-learn.

`docs/generate_pages.py` writes the page.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightcnn
from lightcnn.sklearn import LightCNNClassifier

PAGE = Path(__file__).parent / "reference" / "python.md"
MAX_SIGNATURE = 100
"""Characters of a signature in one line; a longer one has one line per parameter."""
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):[ \t]*\n((?:[ \t]+.*\n|\n)+)", re.MULTILINE)
ITEM = re.compile(r"^(\*{0,2}[\w.]+)(?: \(([^)]*)\))?: +(.*)", re.DOTALL)
INTRODUCTION = """\
# Python reference

Every public name of lightcnn, and its [classifier for scikit-learn](#scikit-learn). This page is generated from the
docstrings: edit those, then run `python docs/generate_pages.py`. `import lightcnn` loads neither torch nor Optuna; the
first use of a name loads its module. lightcnn's own errors are children of [`LightcnnError`](#lightcnnerror) and have a
message of one line.
"""


@dataclass(frozen=True)
class Field:
    """One field of a data class or a model, as its class states it."""

    name: str
    type: str
    default: str
    description: str


def page() -> str:
    """The whole page."""
    things = {name: getattr(lightcnn, name) for name in lightcnn.__all__ if not name.startswith("__")}
    functions = {name: thing for name, thing in things.items() if inspect.isfunction(thing)}
    classes = {name: thing for name, thing in things.items() if inspect.isclass(thing)}
    if len(functions) + len(classes) != len(things):
        raise SystemExit("a name of lightcnn.__all__ is neither a function nor a class: add a section for it here")
    parts = [INTRODUCTION]
    for title, group in (("Functions", functions), ("Classes", classes)):
        rows = [(f"[`{name}`](#{anchor(name, thing)})", summary(thing)) for name, thing in group.items()]
        parts += [f"## {title}\n", table(("name", "what it is"), rows)]
        parts += [class_entry(name, thing) if thing in classes.values() else function_entry(name, thing)
                  for name, thing in group.items()]  # fmt: skip
    return "\n".join([*parts, sklearn_section()])


def sklearn_section() -> str:
    """The section of the classifier, which is not in `lightcnn.__all__` since it imports scikit-learn."""
    name = LightCNNClassifier.__name__
    definition = signature(name, LightCNNClassifier).replace(") -> None:", f") -> {name}:")
    start = f"## scikit-learn\n\n`from lightcnn.sklearn import {name}`\n\n{_fenced('python', definition)}"
    return f"{start}\n{class_entry(name, LightCNNClassifier)}"


def anchor(name: str, thing: Any) -> str:
    """The anchor of a heading: functions have the package in theirs, since `profile` and `Profile` both exist."""
    return name.lower() if inspect.isclass(thing) else f"lightcnn{name.lower()}"


def function_entry(name: str, function: Any) -> str:
    """The section of a function."""
    return f"### lightcnn.{name}\n\n{_fenced('python', signature(name, function))}\n{docstring(function)}"


def class_entry(name: str, cls: type) -> str:
    """The section of a class: its docstring, fields and members; short members of base classes in one table."""
    parts = [f"### {name}\n", docstring(cls), field_table(cls)]
    inherited = []
    for owner, member_name, value in members(cls):
        if owner is cls or "Example:" in (_function_of(value).__doc__ or ""):
            parts.append(member_entry(name, member_name, value))
        else:
            inherited.append((f"`{member_name}`", summary(_function_of(value))))
    if inherited:
        parts += ["Also, for those who write run folders:\n" if name == "Run" else "Inherited:\n",
                  table(("name", "what it does"), inherited)]  # fmt: skip
    return "\n".join(part for part in parts if part)


def member_entry(owner: str, name: str, value: Any) -> str:
    """The section of a method or property."""
    kinds = ((classmethod, "classmethod"), (staticmethod, "staticmethod"), ((property, cached_property), "property"))
    decorator = next((f"@{text}\n" for kind, text in kinds if isinstance(value, kind)), "")
    function = _function_of(value)
    return f"#### {owner}.{name}\n\n{_fenced('python', decorator + signature(name, function))}\n{docstring(function)}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def summary(thing: Any) -> str:
    """The first sentence of a docstring."""
    text = " ".join(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", text)[0]


def docstring(thing: Any) -> str:
    """A docstring as Markdown: its sections become lists, its example a fenced block."""
    text = inspect.cleandoc(thing.__doc__ or "") + "\n"
    sections = {title: textwrap.dedent(body).strip("\n") for title, body in SECTION.findall(text)}
    parts = [SECTION.sub("", text).strip()]
    for title in ("Args", "Attributes", "Returns", "Yields", "Raises"):
        if title in sections:
            parts.append(f"**{title}**\n\n{_section(title, sections[title])}")
    if "Example" in sections:
        parts.append(_fenced("pycon", sections["Example"]).strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, body: str) -> str:
    """A section as a list with one item per argument or error; other sections are one paragraph."""
    if title not in ("Args", "Attributes", "Raises"):
        return " ".join(body.split())
    items = re.split(r"\n(?=\S)", body)
    return "\n".join(_item(" ".join(item.split())) for item in items)


def _item(text: str) -> str:
    match = ITEM.match(text)
    if match is None:
        return f"- {text}"
    name, kind, description = match.groups()
    return f"- `{name}`{f' ({kind})' if kind else ''}: {description}"


def signature(name: str, function: Any) -> str:
    """A definition without its body, types as they are written in the source."""
    shown = inspect.signature(function)
    parameters = [each for each in shown.parameters.values() if each.name not in ("self", "cls")]
    texts = [_parameter(each) for each in parameters]
    first = next((place for place, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY), None)
    if first is not None and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        texts.insert(first, "*")
    end = ")" if shown.return_annotation is shown.empty else f") -> {_type(shown.return_annotation)}"
    text = f"def {name}({', '.join(texts)}{end}: ..."
    if len(text) > MAX_SIGNATURE:
        text = f"def {name}(\n" + "".join(f"    {line},\n" for line in texts) + f"{end}: ..."
    return text if '"' in text else text.replace("'", '"')


def _parameter(parameter: inspect.Parameter) -> str:
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{star}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += f" = {_default(parameter.default)}"
    return text


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _default(value: Any) -> str:
    """A default as it is written; functions and classes by their names, since their text has an address."""
    if getattr(value, "__name__", None) == "<lambda>":
        return "..."
    return value.__name__ if inspect.isroutine(value) or inspect.isclass(value) else repr(value)


def field_table(cls: type) -> str:
    """The fields of a data class or model as a table; empty for other classes."""
    rows = fields(cls)
    cells = [(f"`{row.name}`", f"`{row.type}`", row.default and f"`{row.default}`", row.description) for row in rows]
    width = 4 if any(row.description for row in rows) else 3
    heads = ("field", "type", "default", "meaning")[:width]
    return table(heads, [row[:width] for row in cells]) if rows else ""


def fields(cls: type) -> list[Field]:
    """The annotated names of a class, in order, with their defaults and the docstrings below them."""
    if not hasattr(cls, "__dataclass_fields__") and not hasattr(cls, "model_fields"):
        return []
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    rows: list[Field] = []
    for node, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            name = node.target.id
            default = ast.unparse(node.value) if node.value is not None else ""
            model_field = getattr(cls, "model_fields", {}).get(name)
            if model_field is not None and node.value is None and not model_field.is_required():
                default = ast.unparse(ast.parse(repr(model_field.get_default(call_default_factory=True))))
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            described = text or getattr(model_field, "description", None) or ""
            rows.append(Field(name, _plain_type(node.annotation), default, " ".join(described.split())))
    return rows


def _plain_type(node: ast.expr) -> str:
    """A type without the rules that `Annotated` adds: those are in the pages on the YAML files."""

    class Plain(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.value, ast.Name) and node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple):
                return node.slice.elts[0]
            return node

    return ast.unparse(Plain().visit(node))


def members(cls: type) -> Iterator[tuple[type, str, Any]]:
    """Public methods and properties with a docstring: the class that defines each, its name, and itself."""
    seen: set[str] = set()
    for owner in cls.__mro__:
        for name, value in vars(owner).items() if _is_ours(owner) else ():
            function = _function_of(value)
            if not name.startswith("_") and name not in seen and inspect.isfunction(function) and function.__doc__:
                seen.add(name)
                yield owner, name, value


def _function_of(value: Any) -> Any:
    """The function behind a method, a property or a cached property."""
    return getattr(value, "__func__", None) or getattr(value, "fget", None) or getattr(value, "func", value)


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] == "lightcnn" and cls.__name__ != "Frozen"


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"
