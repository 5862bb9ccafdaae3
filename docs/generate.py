"""Writes lightcnn/schemas/: the JSON Schema of every kind of document, generated from the model that reads it.

python docs/generate.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from lightcnn.cli.catalogue import DOCUMENT_KINDS, SCHEMAS

PYTHON_SECTIONS = re.compile(r"\n\n(?:Args|Returns|Raises|Example):.*", re.DOTALL)
"""The part of a docstring that is for readers of Python, not for readers of YAML."""


class UntitledSchema(GenerateJsonSchema):
    """Leaves out the titles that pydantic derives from field names, because editors show the names anyway."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schemas() -> dict[str, str]:
    """File name → text of every schema. A schema describes what a YAML file may hold, before defaults are filled in."""
    return {f"{name}.json": schema(name, model) for name, model in DOCUMENT_KINDS.items()}


def schema(name: str, model: type[BaseModel]) -> str:
    """The JSON Schema of one kind of document, as text."""
    body = model.model_json_schema(mode="validation", schema_generator=UntitledSchema)
    for part in _objects(body):
        # The loader distinguishes blocks by their kind; for pydantic the key is optional because it has a default.
        if "const" in part.get("properties", {}).get("kind", {}):
            part["required"] = sorted({*part.get("required", ()), "kind"})
        if isinstance(part.get("description"), str):
            part["description"] = PYTHON_SECTIONS.sub("", part["description"])
    head = {"$schema": GenerateJsonSchema.schema_dialect, "title": f"lightcnn {name}"}
    return json.dumps(head | body | head, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes every schema."""
    SCHEMAS.mkdir(exist_ok=True)
    for name, text in schemas().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside a schema."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _objects(inner)


if __name__ == "__main__":
    main()
