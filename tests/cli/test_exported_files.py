"""Exported files from strangers: `predict`, `explain`, `profile` and `serve` refuse them in one line, exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.exported_files import SIZE, trained_network, write_exported
from onnx import helper, numpy_helper
from PIL import Image

from lightcnn.cli.main import run
from lightcnn.exported_metadata import METADATA_KEY

PREDICTING = ("predict", "explain", "serve")
EVERY = (*PREDICTING, "profile")


def command(name: str, *arguments: str) -> list[str]:
    """The command on a file, with an image if it takes one."""
    images = {"predict": ["photo.png"], "explain": ["photo.png", "--samples", "20"], "serve": ["--port", "0"]}
    return [name, *arguments, *images.get(name, ["--no-latency"])]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are damaged, foreign or contradict themselves, an image and class names."""
    folder = tmp_path_factory.mktemp("files")
    content = write_exported(folder / "model.onnx", trained_network()).read_bytes()
    (folder / "truncated.onnx").write_bytes(content[: len(content) // 2])
    (folder / "empty.onnx").touch()
    (folder / "text.onnx").write_text("cat\ndog\n" * 9)
    (folder / "folder").mkdir()
    model = onnx.load(folder / "model.onnx")
    rules = json.loads(next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY))["preprocess"]
    changed(folder, "classes.onnx", preprocess={**rules, "classes": ["a", "b"]})
    changed(
        folder,
        "channels.onnx",
        preprocess={**rules, "channels": 1, "mean": [0.4]},
    )
    changed(folder, "operating.onnx", operating={"counts": 5})
    changed(folder, "mean.onnx", preprocess={**rules, "mean": ["x", 1, 1]})
    changed(folder, "later.onnx", version=2)
    foreign(folder / "foreign.onnx")
    (folder / "names.txt").write_text("a\nb\nc\n")
    (folder / "two.txt").write_text("a\nb\n")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder


def changed(folder: Path, name: str, **changes: Any) -> None:
    """A copy of model.onnx with other metadata."""
    model = onnx.load(folder / "model.onnx")
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(model, folder / name)


def foreign(path: Path) -> None:
    """A classifier of three classes that takes floats (N, 3, 8, 12)."""
    tensors = [
        numpy_helper.from_array(np.array([2, 3]), "axes"),
        numpy_helper.from_array(np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32), "weights"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["y"]),
    ]
    kind, value = onnx.TensorProto.FLOAT, helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", kind, ["N", 3, 8, 12])], [value("y", kind, ["N", 3])], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.fixture
def refused(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with exit code 2 and one line, which it returns."""
    monkeypatch.chdir(files)

    before = set(files.iterdir())

    def call(*arguments: str) -> str:
        assert run(list(arguments)) == 2
        out, error = capsys.readouterr()
        assert not out and error.count("\n") == 1 and error.startswith("lightcnn: "), error
        assert set(files.iterdir()) == before
        return error

    return call


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("file", ["truncated.onnx", "empty.onnx", "text.onnx"])
def test_a_damaged_file_is_refused(name: str, file: str, refused: Callable[..., str]) -> None:
    error = refused(*command(name, file))
    assert file in error and ("cannot read it" in error or "is damaged, or not an ONNX file" in error)


@pytest.mark.parametrize("name", EVERY)
def test_a_file_or_a_run_that_is_missing_is_refused(name: str, refused: Callable[..., str]) -> None:
    assert "missing.onnx: " in refused(*command(name, "missing.onnx"))
    assert "folder: not a run folder of lightcnn" in refused(*command(name, "folder"))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("operating.onnx", "its metadata are damaged: "),
        ("mean.onnx", "its metadata are damaged: 'x' is not a finite number"),
        ("later.onnx", "its metadata are damaged: version 2 is not 1 to 1"),
    ],
)
def test_damaged_metadata_are_refused(name: str, file: str, fault: str, refused: Callable[..., str]) -> None:
    assert f"{file}: {fault}" in refused(*command(name, file))


@pytest.mark.parametrize("name", PREDICTING)
@pytest.mark.parametrize("file", ["classes.onnx", "channels.onnx"])
def test_metadata_that_contradict_the_network_are_refused(name: str, file: str, refused: Callable[..., str]) -> None:
    assert f"{file}: " in refused(*command(name, file))


@pytest.mark.parametrize("name", PREDICTING)
def test_a_file_of_others_needs_names_and_a_size_that_fit(name: str, refused: Callable[..., str]) -> None:
    assert "has no metadata of lightcnn" in refused(*command(name, "foreign.onnx"))
    size = ("--input", "3x8x12")
    assert "give --labels FILE as well" in refused(*command(name, "foreign.onnx", *size))
    assert "give --input CxHxW as well" in refused(*command(name, "foreign.onnx", "--labels", "names.txt"))
    assert "--labels names 2 classes" in refused(*command(name, "foreign.onnx", "--labels", "two.txt", *size))
    other = refused(*command(name, "foreign.onnx", "--labels", "names.txt", "--input", "1x8x12"))
    assert "--input 1x8x12: foreign.onnx takes N×C×H×W = ?×3×8×12" in other
    assert "--labels missing.txt: cannot be read" in refused(
        *command(name, "foreign.onnx", "--labels", "missing.txt", *size)
    )


def test_a_size_that_does_not_fit_is_refused_by_profile(refused: Callable[..., str]) -> None:
    assert "--input 1x9x9: it takes images of 3×8×12" in refused(
        *command("profile", "foreign.onnx", "--input", "1x9x9")
    )
    assert f"--input 1x{SIZE}x{SIZE}: it takes images of 3" in refused(
        *command("profile", "model.onnx", "--input", f"1x{SIZE}x{SIZE}")
    )


@pytest.mark.parametrize("name", ["predict", "explain", "profile"])
def test_a_file_of_others_works(
    name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    given = [] if name == "profile" else ["--labels", "names.txt", "--input", "3x8x12"]
    out = [] if name == "predict" else ["--out", str(tmp_path / "out")]
    assert run([*command(name, "foreign.onnx", *given), *out, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"] == name


@pytest.mark.parametrize("name", ["predict", "explain"])
def test_colour_images_for_a_grey_network_are_noted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_exported(tmp_path / "grey.onnx", trained_network(channels=1, with_score=False))
    Image.new("RGB", (30, 20), (200, 10, 10)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    assert run([*command(name, "grey.onnx"), "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["code"] == "images_mismatched" and "colour" in warning["message"]


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_runtime_is_named_with_the_pip_line(
    name: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install" in refused(*command(name, "model.onnx"))
