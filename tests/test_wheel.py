"""The wheel contains the shipped files, and an installed lightcnn finds them without a clone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.specs import RECIPES, SPACES
from helpers.wheels import build_wheel

CODE = """
import lightcnn, sys
from lightcnn.cli.catalogue import SCHEMAS, shipped_items
from lightcnn.recipe import Recipe
from lightcnn.space import SearchSpace
assert lightcnn.__file__.startswith(sys.argv[1]), lightcnn.__file__
print(sorted(item["name"] for item in shipped_items("spaces") if SearchSpace.load(item["name"])))
print(sorted(item["name"] for item in shipped_items("recipes") if Recipe.load(item["name"])))
print(sorted(path.name for path in SCHEMAS.iterdir()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_shipped_files_are_found_outside_a_clone(wheel, tmp_path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    process = subprocess.run(
        [sys.executable, "-P", "-c", CODE, str(tmp_path)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    spaces, recipes, schemas = (ast.literal_eval(line) for line in process.stdout.splitlines())
    assert set(spaces) == set(SPACES)
    assert set(recipes) == set(RECIPES)
    assert schemas == ["baseline.json", "changes.json", "recipe.json", "space.json", "spec.json"]


def test_the_wheel_contains_the_code_and_nothing_else(wheel) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"lightcnn"}
    files = ("py.typed", "output/templates/page.html", "output/templates/style.css", "serving/static/page.js")
    assert {f"lightcnn/{file}" for file in files} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".db", ".npz", ".safetensors"))]
