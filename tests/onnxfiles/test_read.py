"""ONNX files are untrusted: damaged, oversized or unsupported ones are refused in one line."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from helpers.exported_files import SIZE, trained_network, write_exported
from helpers.onnx_files import FLOAT, node, onnx, tensor, write_graph

from lightcnn.errors import InputError
from lightcnn.exported_metadata import METADATA_KEY
from lightcnn.onnxfiles.count import PREPARES, count_graph
from lightcnn.onnxfiles.read import MAX_BYTES, read_graph
from lightcnn.onnxfiles.runtime import open_session, session_outputs


def error_of(path: Path, input: Any = None) -> str:
    """The one-line error with which a file is refused."""
    with pytest.raises(InputError) as error:
        count_graph(read_graph(path, input))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", [node("Relu", "image")])
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        error_of(path)
    path.write_bytes(content)
    assert count_graph(read_graph(path)).macs == 0
    assert "cannot be read" in error_of(tmp_path / "none.onnx")


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_wrong_bytes_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    nodes = [node("Conv", "image,w", "a"), node("Relu", "a")]
    path = write_graph(tmp_path / "a.onnx", nodes, [tensor("w", 2, 3, 2, 2)])
    damaged = bytearray(path.read_bytes())
    for _ in range(3):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    path.write_bytes(damaged)
    try:
        count_graph(read_graph(path))
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "link.bin", "missing.bin"])
def test_tensors_outside_of_the_folder_are_not_read(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    assert "which is not a file in its folder" in error_of(with_external_tensor(folder / "a.onnx", place))


def with_external_tensor(path: Path, place: str) -> Path:
    """A file whose only tensor is stored in another file."""
    external = tensor("w", 1, 3, 2, 2)
    onnx.external_data_helper.set_external_data(external, place, length=48)
    external.ClearField("raw_data")
    return write_graph(path, [node("Conv", "image,w")], [external])


def test_tensors_in_the_folder_of_the_file_are_read(tmp_path: Path) -> None:
    path = with_external_tensor(tmp_path / "a.onnx", "w.bin")
    (tmp_path / "w.bin").write_bytes(np.ones(12, np.float32).tobytes())
    graph = read_graph(path)
    counted = count_graph(graph)
    assert (counted.params, counted.macs) == (12, 9 * 12)
    assert counted.file_bytes == path.stat().st_size + 48
    assert session_outputs(open_session(graph.data, 1), np.ones((1, 3, 4, 4), np.float32))[0].max() == 12
    (tmp_path / "w.bin").write_bytes(b"short")
    assert "damaged" in error_of(path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"at most {MAX_BYTES:,} are read" in error_of(path)


def test_an_enormous_tensor_is_refused(tmp_path: Path) -> None:
    sides = onnx.numpy_helper.from_array(np.array([1, 30000, 300, 300]), "sides")
    nodes = [node("Expand", "one,sides", "a"), node("Add", "image,a")]
    assert "elements; at most" in error_of(
        write_graph(tmp_path / "a.onnx", nodes, [sides, tensor("one", 1)], dims=(1, 1, 1, 1))
    )


def test_inputs_other_than_one_batch_of_images_are_refused(tmp_path: Path) -> None:
    path, relu = tmp_path / "a.onnx", [node("Relu", "image")]
    other = onnx.helper.make_tensor_value_info("other", FLOAT, (1,))
    assert "takes 2 inputs (image, other)" in error_of(write_graph(path, [node("Add", "image,other")], extra=[other]))
    assert "not a batch of images" in error_of(write_graph(path, relu, dims=(1, 10)))
    assert "not a batch of images" in error_of(
        write_graph(path, [node("Identity", "image")], kind=onnx.TensorProto.STRING)
    )
    assert "takes 8 images at once" in error_of(write_graph(path, relu, dims=(8, 3, 4, 4)))
    assert "give one with --input" in error_of(write_graph(path, relu, dims=("n", 3, "h", "w")))
    assert "--input 3x8x8: it takes images of 3×4×4" in error_of(write_graph(path, relu), (3, 8, 8))


def test_control_flow_is_refused(tmp_path: Path) -> None:
    inner = onnx.helper.make_tensor_value_info("x", FLOAT, (1, 3, 4, 4))
    body = onnx.helper.make_graph([node("Relu", "image", "x")], "b", [], [inner])
    condition = onnx.numpy_helper.from_array(np.array(True), "condition")
    branch = node("If", "condition", then_branch=body, else_branch=body)
    assert "so its cost is not one number" in error_of(write_graph(tmp_path / "a.onnx", [branch], [condition]))


def test_a_loop_without_end_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    make, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto
    again = node("Identity", "go", "again")
    body = onnx.helper.make_graph(
        [again, node("Relu", "x", "y")], "body",
        [make("number", kind.INT64, ()), make("go", kind.BOOL, ()), make("x", FLOAT, None)],
        [make("again", kind.BOOL, ()), make("y", FLOAT, None)],
    )  # fmt: skip
    condition = onnx.numpy_helper.from_array(np.array(True), "condition")
    loop = node("Loop", ",condition,image", body=body)
    assert "has Loop" in error_of(write_graph(tmp_path / "a.onnx", [loop], [condition]))
    proto = onnx.load(tmp_path / "a.onnx")
    proto.functions.append(
        onnx.helper.make_function(
            "local", "f", ["condition", "image"], ["out"], [loop], [onnx.helper.make_opsetid("", 18)]
        )
    )
    proto.opset_import.append(onnx.helper.make_opsetid("local", 1))
    proto.graph.node[0].CopyFrom(node("f", "condition,image", domain="local"))
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    assert "has Loop" in error_of(tmp_path / "a.onnx"), "in a local function"


@pytest.mark.parametrize(("levels", "operators"), [(3, 8), (40, None)])
def test_local_functions_may_not_expand_to_endless_operators(
    tmp_path: Path, levels: int, operators: int | None
) -> None:
    """Each function calls the next one twice."""
    proto = onnx.load(write_graph(tmp_path / "a.onnx", [node("Relu", "image")]))
    domain, opsets = "local", [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("local", 1)]
    for level in range(levels):
        called = {"domain": domain} if level < levels - 1 else {}
        name = f"f{level + 1}" if called else "Relu"
        nodes = [node(name, "a", "b", **called), node(name, "b", "c", **called)]
        proto.functions.append(onnx.helper.make_function(domain, f"f{level}", ["a"], ["c"], nodes, opsets))
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "f0", domain
    proto.opset_import.append(opsets[1])
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    if operators is None:
        assert "local functions that expand to more than" in error_of(tmp_path / "a.onnx")
    else:
        assert len(read_graph(tmp_path / "a.onnx").nodes) == operators


def test_a_size_of_minus_one_is_free(tmp_path: Path) -> None:
    conv = ([node("Conv", "image,w")], [tensor("w", 2, 3, 1, 1)])
    path = write_graph(tmp_path / "a.onnx", *conv, dims=(-1, 3, -1, -1))
    assert "give one with --input" in error_of(path)
    graph = read_graph(path, (3, 10, 5))
    assert graph.free and graph.input == (3, 10, 5)


def test_free_sizes_are_set(tmp_path: Path) -> None:
    path, conv = tmp_path / "a.onnx", ([node("Conv", "image,w")], [tensor("w", 2, 3, 1, 1)])
    graph = read_graph(write_graph(path, *conv, dims=("n", 3, "h", "w")), (3, 10, 5))
    assert (graph.input, graph.free, count_graph(graph).macs) == ((3, 10, 5), True, 50 * 6)
    assert not read_graph(write_graph(path, *conv)).free
    write_graph(path, [node("Add", "image,b")], [tensor("b", 3, 1, 1)], dims=("n", "c", "h", "w"))
    assert "do not fit an image of 4×10×5" in error_of(path, (4, 10, 5))


def test_an_exported_file_has_the_size_of_its_network_and_channels_last(tmp_path: Path) -> None:
    path = write_exported(tmp_path / "m.onnx", trained_network())
    graph = read_graph(path)
    assert graph.input == (3, SIZE, SIZE) and graph.metadata is not None and graph.free
    assert graph.images(2).shape == (2, SIZE, SIZE, 3) and graph.images().dtype == np.uint8
    larger = read_graph(path, (3, 40, 30))
    assert larger.input == (3, 40, 30) and larger.images().shape == (1, 40, 30, 3)
    assert PREPARES in count_graph(graph).notes
    assert count_graph(graph).macs == 4 * 3 * 3  # of the dense layer: 4 quarters × 3 channels, 3 classes
    assert "--input 1x12x12: it takes images of 3×?×?" in error_of(path, (1, SIZE, SIZE))


def test_damaged_metadata_of_an_exported_file_are_one_line(tmp_path: Path) -> None:
    proto = onnx.load(write_exported(tmp_path / "m.onnx", trained_network()))
    next(entry for entry in proto.metadata_props if entry.key == METADATA_KEY).value = "{}"
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    assert error_of(tmp_path / "m.onnx").count("m.onnx: ") == 1
