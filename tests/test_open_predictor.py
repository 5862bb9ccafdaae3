"""Runs and ONNX files are opened in one way; files of someone else need labels and an input size."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.exported_files import trained_network, write_exported
from helpers.imports import NUMPY_AND_PILLOW_ONLY, run_without
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from lightcnn.cli.main import run
from lightcnn.decisions import class_probabilities
from lightcnn.errors import InputError
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel, read_labels
from lightcnn.open_predictor import open_predictor

COMMAND_PACKAGES = {"pydantic", "pydantic_core", "ruamel", "typer", "click", "rich"}
"""What the command may import beside what the module needs."""


def write_foreign(
    path: Path,
    *,
    floats: bool = True,
    last: str = "",
    classes: int = 3,
    sides: tuple[Any, Any] = (8, 6),
    batch: Any = "N",
) -> Path:
    """A file without metadata: mean colours (scaled to 0..1 if uint8), a product, and an activation `last`."""
    weight = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32) * 4
    shape = [batch, 3, *sides] if floats else [batch, *sides, 3]
    nodes = [
        helper.make_node("Identity", ["x"], ["f"]) if floats else helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["z"]),
        helper.make_node(last or "Identity", ["z"], ["y"]),
    ]
    tensors = [
        numpy_helper.from_array(np.array([2, 3] if floats else [1, 2]), "axes"),
        numpy_helper.from_array(weight if floats else weight / 255, "w"),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT if floats else TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, classes])], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def expected(image: np.ndarray, classes: int = 3) -> np.ndarray:
    """Class probabilities of the file for an image of its own size."""
    weight = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32) * 4
    return class_probabilities(image.mean(axis=(0, 1))[None] / 255 @ weight)[0]


@pytest.mark.parametrize("floats", [True, False])
@pytest.mark.parametrize("last", ["", "Softmax", "LogSoftmax"])
@pytest.mark.parametrize("batch", ["N", 1])
def test_a_file_of_someone_else_works_with_labels_and_input(
    tmp_path: Path, floats: bool, last: str, batch: Any
) -> None:
    model = open_predictor(
        write_foreign(tmp_path / "m.onnx", floats=floats, last=last, batch=batch),
        labels=["a", "b", "c"],
        input=(3, 8, 6),
    )
    images = list(np.random.default_rng(1).integers(0, 256, (3, 8, 6, 3), dtype=np.uint8))
    result = model.predict(images)
    np.testing.assert_allclose(result.probabilities, [expected(image) for image in images], atol=1e-5)
    assert isinstance(model, ForeignModel)
    assert model.kind == {"": "logits", "Softmax": "probabilities", "LogSoftmax": "log probabilities"}[last]
    assert ("floats (N, C, H, W) on the scale 0 to 1, without mean and deviation" in model.note) == floats
    assert "stretched to 8×6 pixels" in model.note


@pytest.mark.parametrize("last", ["", "Sigmoid"])
def test_one_output_is_the_second_of_two_classes(tmp_path: Path, last: str) -> None:
    model = open_predictor(
        write_foreign(tmp_path / "m.onnx", classes=1, last=last), labels=["no", "yes"], input=(3, 8, 6)
    )
    image = np.random.default_rng(1).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    np.testing.assert_allclose(model.predict([image]).probabilities[0], expected(image, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "has no metadata of lightcnn"),
        ({"labels": ["a", "b", "c"]}, "has no metadata of lightcnn; give --input CxHxW as well"),
        ({"input": (3, 8, 6)}, "has no metadata of lightcnn; give --labels FILE as well"),
        ({"labels": ["a", "b"], "input": (3, 8, 6)}, "but --labels names 2 classes"),
        ({"labels": ["a", "b", "c"], "input": (1, 8, 6)}, "--input 1x8x6: .* takes N×C×H×W = "),
        ({"labels": ["a", "b", "c"], "input": (4, 8, 6)}, "images have 1 or 3 channels"),
        ({"device": "cuda"}, "--device cuda: exported files run on the CPU"),
    ],
)
def test_what_a_foreign_file_lacks_is_one_line(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    file = write_foreign(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$"):
        open_predictor(file, **arguments)


def test_labels_of_an_exported_file_and_of_a_run_are_refused(tmp_path: Path) -> None:
    file = write_exported(tmp_path / "m.onnx", trained_network())
    assert isinstance(open_predictor(file), ExportedModel)
    with pytest.raises(InputError, match="states both in its metadata; leave them out"):
        open_predictor(file, labels=["a", "b", "c"], input=(3, 12, 12))
    with pytest.raises(InputError, match="is a run, which states both"):
        open_predictor(tmp_path, labels=["a", "b"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\n\nb\n", "two or more different"), (b"a\na\n", "different"), (b"\xff\xfe", "UTF-8"), (b"", "two or more")],
)
def test_wrong_labels_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_bytes("\ufeffcat\r\ndög\r\n\r\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("cat", "dög")


def test_the_command_predicts_an_exported_file_without_torch(tmp_path: Path) -> None:
    network = trained_network()
    write_exported(tmp_path / "m.onnx", network)
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "x.png")
    code = "from lightcnn.cli.main import run\nassert run(['predict', *sys.argv[1:]]) == 0"
    missing = [name for name in NUMPY_AND_PILLOW_ONLY if name not in COMMAND_PACKAGES]
    printed = run_without(missing, code, tmp_path / "m.onnx", tmp_path / "x.png", "--csv", "-", "--quiet")
    (row,) = csv.DictReader(io.StringIO(printed))
    probabilities = [float(row[f"p_{name}"]) for name in network.classes]
    np.testing.assert_allclose(probabilities, network.predict([image]).probabilities[0], atol=1e-5)


def test_the_command_states_what_it_assumes_of_a_foreign_file(tmp_path: Path, capsys: Any) -> None:
    file = write_foreign(tmp_path / "m.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "x.png")
    arguments = ["predict", str(file), str(tmp_path / "x.png"), "--labels", str(tmp_path / "labels.txt")]
    assert run([*arguments, "--input", "3x8x6", "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["classes"] == ["a", "b", "c"]
    assert document["unlikeness"] is None
    assert "outputs are taken as logits" in document["note"]
    assert f"note: {document['note']}" in printed.err
    assert run([*arguments, "--input", "3x8"]) == 2
    assert "--input 3x8: not an input size" in capsys.readouterr().err


def test_the_written_files_are_valid(tmp_path: Path) -> None:
    onnx.checker.check_model(onnx.load(write_foreign(tmp_path / "m.onnx")), full_check=True)
