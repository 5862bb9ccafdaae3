"""Writes lightcnn/schemas/: the JSON Schema of every kind of document, from the model that reads it.

python docs/generate.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from lightcnn.cli.catalogue import DOCUMENT_KINDS, SCHEMAS


class Plain(GenerateJsonSchema):
    """Without the titles that pydantic makes of field names: editors show the name anyway."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schemas() -> dict[str, str]:
    """File name → text of every schema. They describe what a YAML file may hold, before defaults are filled in."""
    return {f"{name}.json": schema(name, model) for name, model in DOCUMENT_KINDS.items()}


def schema(name: str, model: type[BaseModel]) -> str:
    """The JSON Schema of one kind of document, as text."""
    body = model.model_json_schema(mode="validation", schema_generator=Plain)
    for part in _objects(body):
        # The loader tells blocks apart by their kind; pydantic calls it optional because it has a default.
        if "const" in part.get("properties", {}).get("kind", {}):
            part["required"] = sorted({*part.get("required", ()), "kind"})
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
