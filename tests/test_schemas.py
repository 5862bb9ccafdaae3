"""The shipped JSON Schemas equal those of the models, and every shipped document is valid."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers.paths import ROOT

from lightcnn.cli.catalogue import DOCUMENT_KINDS, SCHEMAS, check_file
from lightcnn.spec import BLOCKS

SHIPPED = {"search_spaces": ("space", 3), "recipes": ("recipe", 7), "tests/golden": ("spec", 3)}
"""Folder → kind and number of its documents; a new file is counted here."""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    location = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def documents(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).glob("*.yaml"))
    assert len(files) == SHIPPED[folder][1], f"{folder}: {[file.name for file in files]}"
    return files


def test_the_shipped_schemas_equal_those_of_the_models(generator: ModuleType) -> None:
    made = generator.schemas()
    shipped = {file.name: file.read_text(encoding="utf-8") for file in SCHEMAS.iterdir()}
    assert shipped.keys() == made.keys() == {f"{kind}.json" for kind in DOCUMENT_KINDS}
    for name in made:
        assert shipped[name] == made[name], f"{name} is out of date; run `python docs/generate.py`"


@pytest.mark.parametrize("kind", DOCUMENT_KINDS)
def test_a_schema_describes_the_keys_that_the_loader_accepts(kind: str) -> None:
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8"))
    fields = DOCUMENT_KINDS[kind].model_fields
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"lightcnn {kind}"
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == fields.keys()
    assert set(schema["required"]) == {name for name, field in fields.items() if field.is_required()}


def test_every_block_of_the_schema_requires_its_kind() -> None:
    definitions: dict[str, Any] = json.loads((SCHEMAS / "spec.json").read_text(encoding="utf-8"))["$defs"]
    blocks = {name: part for name, part in definitions.items() if name.endswith("Block")}
    assert {part["properties"]["kind"]["const"] for part in blocks.values()} == BLOCKS.keys()
    assert all("kind" in part["required"] for part in blocks.values())


@pytest.mark.parametrize("folder", SHIPPED)
def test_every_shipped_document_is_valid(folder: str) -> None:
    for file in documents(folder):
        assert check_file(file) == {"file": str(file), "kind": SHIPPED[folder][0], "errors": []}


@pytest.mark.parametrize("folder", ["search_spaces", "recipes"])
def test_shipped_documents_name_their_schema_for_editors(folder: str) -> None:
    for file in documents(folder):
        marker, _, schema = file.read_text(encoding="utf-8").splitlines()[0].partition("$schema=")
        assert marker == "# yaml-language-server: "
        assert (file.parent / schema).resolve() == SCHEMAS.resolve() / f"{SHIPPED[folder][0]}.json"
