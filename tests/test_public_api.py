"""The public names: listed in one order in all three places, importable, documented, and with examples that run."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import TESTS

import lightcnn

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts", "one_worker")

EARLIER_RUNS = TESTS / "fixtures" / "runs-before-the-move.zip"
EXAMPLE_FILES = {"train": "runs/short", "search": "runs/long", "tiny.yaml": "recipe.yaml"}
"""What of that archive the examples find in their folder, and its name there."""
FACE = ast.parse(Path(lightcnn.__file__).read_text(encoding="utf-8"))
NAMES = [name for name in lightcnn.__all__ if name != "__version__"]
METHODS = ("Budget.parse", "NetworkSpec.load", "Recipe.load", "Run.load", "SearchSpace.load")
"""Constructors that users call instead of a class."""
DOCUMENTED = (*NAMES, *METHODS)
WITHOUT_SECTIONS = ("Budget", "LightcnnError", "Profile", "Run")
"""Classes that users do not construct themselves, and whose fields are described in other words."""


def literal(name: str) -> Any:
    """The value of a literal assigned in lightcnn/__init__.py."""
    (value,) = (
        node.value
        for node in FACE.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]
    )
    return ast.literal_eval(value)


def type_checking_imports() -> dict[str, str]:
    """Public name → module below lightcnn, from the block that type checkers read."""
    (block,) = (node for node in FACE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {
        alias.name: str(node.module).removeprefix("lightcnn.")
        for node in imports
        for alias in node.names
        if alias.asname is None
    }


def public(name: str) -> Any:
    """A public object by its name or its dotted name."""
    value: Any = lightcnn
    for part in name.split("."):
        value = getattr(value, part)
    return value


def examples(name: str) -> list[doctest.Example]:
    """The examples in the docstring of a public object."""
    return doctest.DocTestParser().get_examples(inspect.getdoc(public(name)) or "")


def write_exported_files(folder: Path) -> None:
    """The exported file and the image of the example of `ExportedModel`."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    from helpers.exported_files import trained_network, write_exported
    from PIL import Image

    write_exported(folder / "model.onnx", trained_network())
    Image.new("RGB", (40, 30)).save(folder / "photo.png")


def test_the_three_lists_of_public_names_are_equal() -> None:
    homes = literal("_HOMES")
    assert literal("__all__") == lightcnn.__all__ == sorted({*homes, "__version__"})
    assert homes == type_checking_imports()
    assert list(homes) == sorted(homes)
    assert len(homes) >= 21


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_imported_from_its_home(name: str) -> None:
    value = public(name)
    assert value.__name__ == name
    assert value.__module__ == f"lightcnn.{literal('_HOMES')[name]}"


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'lightcnn' has no attribute 'nothing'"):
        public("nothing")


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_docstring_describes_all_parameters(name: str) -> None:
    value, text = public(name), inspect.getdoc(public(name)) or ""
    assert re.match(r"[A-Z].*?[.:`]$", text.partition("\n\n")[0], re.DOTALL), text
    if name in WITHOUT_SECTIONS:
        return
    fields = getattr(value, "model_fields", None)
    parameters = list(fields) if fields else list(inspect.signature(value).parameters)
    _, _, described = text.partition("Args:")
    if parameters:
        missing = [parameter for parameter in parameters if not re.search(rf"^\s+{parameter}: ", described, re.M)]
        assert not missing, f"{name}: Args: lacks {missing}"
    if inspect.isfunction(value) or inspect.ismethod(value):
        assert "Returns:" in text, name


def test_public_names_leave_the_random_state() -> None:
    """Loading a name, and the first profile, leave the random numbers of Python and numpy; a fresh process shows it."""
    script = """
import random, numpy, lightcnn
random.seed(1), numpy.random.seed(1)
states = random.getstate(), numpy.random.get_state()[1].tolist()
moved = []
for name in lightcnn.__all__:
    getattr(lightcnn, name)
    if (random.getstate(), numpy.random.get_state()[1].tolist()) != states:
        moved.append(name)
lightcnn.profile(lightcnn.BaselineSpec(baseline="mobilenetv2", input=(3, 32, 32), classes=2))
print(moved, (random.getstate(), numpy.random.get_state()[1].tolist()) == states)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[] True\n"


def test_every_public_name_has_an_example() -> None:
    missing = [name for name in DOCUMENTED if not examples(name)]
    assert not missing, f"without an Example: {', '.join(missing)}"


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if examples(name)])
def test_every_example_is_short_and_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(examples(name)) <= 3, "an example has at most three statements"
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(EARLIER_RUNS) as archive:
        archive.extractall(tmp_path)
    for name_in_archive, name_in_example in EXAMPLE_FILES.items():
        (tmp_path / name_in_example).parent.mkdir(exist_ok=True)
        (tmp_path / name_in_archive).rename(tmp_path / name_in_example)
    if name == "ExportedModel":
        write_exported_files(tmp_path)
    docstring = inspect.getdoc(public(name)) or ""
    test = doctest.DocTestParser().get_doctest(docstring, {"lightcnn": lightcnn}, name, None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output: list[str] = []
    runner.run(test, out=output.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(output)
