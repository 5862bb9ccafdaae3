"""ONNX files: the numbers of PyTorch for images of any size, facts as metadata, and nothing about the machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.export_subjects import untrained_subject
from helpers.onnx_files import onnx

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.cost import cost
from lightcnn.data.tensors import normalise, prepare
from lightcnn.document import parse
from lightcnn.errors import InputError, LightcnnError
from lightcnn.exported_metadata import METADATA_KEY, read_metadata
from lightcnn.exporting.comparison import named_harm
from lightcnn.exporting.onnx_formats import onnx_file, onnx_int8
from lightcnn.exporting.onnx_formats.parity import require_parity
from lightcnn.exporting.subject import ExportSubject, NumberTypes
from lightcnn.inference import evaluate
from lightcnn.network import fold
from lightcnn.onnxfiles.assembly import assemble
from lightcnn.onnxfiles.layers import layers, weight_bytes
from lightcnn.onnxfiles.quantization import observe_activations, quantize_network
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.progress import no_progress
from lightcnn.spec import NetworkSpec

GREY = """
input: [1, 12, 12]
stages: [{kind: residual, body: [{kind: separable, width: 8}]}, {kind: pool}, {kind: conv, width: 80, kernel: 1}]
classes: 3
"""
SIGMOID = """
input: [3, 16, 16]
stages: [{kind: conv, width: 8, stride: 2, act: relu}, {kind: mbconv, width: 8, expand: 2.0, se: 0.25}]
head: {output: sigmoid, hidden: [12], pool: max}
classes: 2
"""
COARSE = """
input: [1, 12, 12]
stages: [{kind: conv, width: 8, act: relu}, {kind: conv, width: 8, act: relu}]
classes: 3
"""


def spec_of(text: str) -> NetworkSpec:
    return parse(NetworkSpec, text)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> ExportSubject:
    return untrained_subject(spec_of(GREY), tmp_path_factory.mktemp("grey") / "run")


@pytest.fixture(scope="module")
def grey_bytes(grey: ExportSubject) -> bytes:
    """The network of `grey` as ONNX, which torch needs a second for."""
    return onnx_file.network_bytes(grey)


@pytest.fixture(scope="module")
def sigmoid_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The network of `SIGMOID`, whose weights do not depend on the preprocessing."""
    return onnx_file.network_bytes(untrained_subject(spec_of(SIGMOID), tmp_path_factory.mktemp("sigmoid") / "run"))


def metadata_of(file: Path) -> dict[str, str]:
    return {each.key: each.value for each in onnx.load(file).metadata_props}


def check_sizes(subject: ExportSubject, file: Path) -> None:
    """The file computes the probabilities and the features of PyTorch for images of several sizes."""
    session, random = open_session(str(file), 1), np.random.default_rng(3)
    rules = subject.preprocess
    for height, width in ((rules.size, rules.size), (5, 7), (1, 40), (33, 50), (60, 20)):
        image = random.integers(0, 256, (height, width, rules.channels), dtype=np.uint8)
        pixels = prepare(image, rules, rules.size)
        probabilities, features = evaluate(subject.network.model, pixels[None], rules)
        predicted, computed = session_outputs(session, image[None])
        # A resized pixel between two grey levels may be rounded to either.
        tolerance = 1e-5 if (height, width) == (rules.size, rules.size) else 2e-3
        np.testing.assert_allclose(predicted, probabilities, atol=tolerance)
        np.testing.assert_allclose(computed, features, rtol=1e-4, atol=tolerance)


def test_a_grey_network_has_parity_at_every_size(
    grey: ExportSubject, grey_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "network_bytes", lambda _: grey_bytes)
    exported = onnx_file.write(grey, tmp_path, no_progress)
    check_sizes(grey, tmp_path / "model.onnx")
    parity = exported.details["parity"]
    assert parity["images"] == 64 and parity["max_abs_difference"] < 1e-5
    assert parity["resized"]["images"] == 32 and parity["resized"]["max_pixel_difference"] <= 1
    assert exported.number_types is None and exported.files == ("model.onnx",)
    assert exported.weight_bytes == cost(grey.network.spec).weight_bytes_fp32
    assert exported.preprocessing.startswith("Do not normalise: ")


def test_bytes_are_deterministic_and_name_no_machine(grey: ExportSubject, grey_bytes: bytes, tmp_path: Path) -> None:
    metadata = onnx_file.exported_metadata(grey, "onnx")
    data = [assemble(network, metadata) for network in (grey_bytes, onnx_file.network_bytes(grey))]
    assert data[0] == data[1]
    assert b"/somewhere" not in data[0] and str(tmp_path.parent).encode() not in data[0]
    assert str(Path.cwd()).encode() not in data[0] and b"site-packages" not in data[0]
    proto = onnx.load_model_from_string(data[0])
    assert not proto.doc_string and all(not node.doc_string and not node.metadata_props for node in proto.graph.node)
    assert not {"Resize", "If", "Loop"} & {node.op_type for node in proto.graph.node}


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_sigmoid_head_has_two_columns_and_the_graph_fits_to_a_square(
    fit: str, sigmoid_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = untrained_subject(spec_of(SIGMOID), tmp_path / "run", fit=fit)
    monkeypatch.setattr(onnx_file, "network_bytes", lambda _: sigmoid_bytes)
    onnx_file.write(subject, tmp_path, no_progress)
    check_sizes(subject, tmp_path / "model.onnx")
    assert read_metadata(metadata_of(tmp_path / "model.onnx"), "m").side_cars == ()


def test_clahe_and_background_are_side_cars_and_other_sizes_are_refused(
    grey_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = untrained_subject(spec_of(GREY), tmp_path / "run", clahe=2.0, background="grabcut")
    monkeypatch.setattr(onnx_file, "network_bytes", lambda _: grey_bytes)
    exported = onnx_file.write(subject, tmp_path, no_progress)
    metadata = read_metadata(metadata_of(tmp_path / "model.onnx"), "m")
    assert metadata.side_cars == ("background", "resize", "clahe")
    assert exported.details["parity"]["resized"] is None
    session = open_session(str(tmp_path / "model.onnx"), 1)
    with pytest.raises(LightcnnError, match="ONNX Runtime cannot run it"):
        session_outputs(session, np.zeros((1, 13, 12, 1), np.uint8))


def test_a_baseline_of_timm_is_exported(tmp_path: Path) -> None:
    spec = BaselineSpec(baseline="timm:test_efficientnet", input=(3, 32, 32), classes=3, weights="none")
    subject = untrained_subject(spec, tmp_path / "run")
    onnx_file.write(subject, tmp_path, no_progress)
    check_sizes(subject, tmp_path / "model.onnx")


def test_a_file_that_differs_is_refused_and_not_left(
    grey: ExportSubject, grey_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = grey.preprocess.model_copy(update={"temperature": 5.0})
    wrong = dataclasses.replace(grey, network=dataclasses.replace(grey.network, preprocess=other))
    metadata = onnx_file.exported_metadata(grey, "onnx")
    data = assemble(grey_bytes, metadata)
    with pytest.raises(LightcnnError, match="onnx: probabilities at the network's size differ from PyTorch's by up to"):
        require_parity(wrong, data, metadata)
    monkeypatch.setattr(onnx_file, "network_bytes", lambda _: grey_bytes)
    monkeypatch.setattr(onnx_file, "assemble", lambda *_: data)
    with pytest.raises(LightcnnError):
        onnx_file.write(wrong, tmp_path, no_progress)
    assert not list(tmp_path.iterdir())


def test_int8_layers_are_in_int8_and_metadata_are_kept(
    grey: ExportSubject,
    grey_bytes: bytes,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnx_int8, "network_bytes", lambda _: grey_bytes)
    exported = onnx_int8.write(grey, tmp_path, no_progress)
    file = tmp_path / "model.int8.onnx"
    quantized = layers(file.read_bytes())
    assert (
        exported.number_types == NumberTypes(frozenset({"int8"}), frozenset({"uint8"}))
        and len(quantized) == 5
        and all(layer.is_int8 for layer in quantized)
    )
    assert exported.weight_bytes == cost(grey.network.spec).weight_bytes_int8
    metadata = read_metadata(metadata_of(file), "m")
    assert metadata == onnx_file.exported_metadata(grey, "onnx-int8")
    assert metadata.data["source"] == "photographs.npz" and metadata.accuracy == {
        "value": 0.75,
        "low": 0.5,
        "high": 0.875,
    }
    assert set(metadata_of(file)) == {METADATA_KEY, "labels", "threshold", "input", "outputs", "notice"}
    images = grey.validation.images.movedim(1, 3).numpy()  # type: ignore[union-attr]
    expected = evaluate(grey.network.model, grey.validation.images, grey.preprocess)[0]  # type: ignore[union-attr]
    assert np.abs(exported.probabilities(images) - expected).max() < 0.1
    scores = exported.details["calibration"]["methods"]
    assert exported.details["calibration"]["method"] == min(scores, key=lambda name: scores[name]["divergence"])
    assert len(scores) == 4 and all(row["divergence"] >= 0 for row in scores.values())
    assert capfd.readouterr().out == ""


def test_int8_needs_training_images(grey: ExportSubject, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--to onnx-int8: needs training images"):
        onnx_int8.write(dataclasses.replace(grey, training=None), tmp_path, no_progress)
    assert not list(tmp_path.iterdir())


def coarse_subject(folder: Path) -> ExportSubject:
    """A network of which every answer is right, and whose second layer has weights that are coarse in 8 bits.

    Its weights for the first channel, which is always 0, are 10,000 times larger than the others.
    """
    subject = untrained_subject(spec_of(COARSE), folder)
    model, images = subject.network.model, subject.validation
    assert images is not None
    weights = model.state_dict()
    with torch.no_grad():
        weights["stages.0.0.norm.weight"][0] = 0
        weights["stages.0.0.norm.bias"][0] = 0
        weights["stages.1.0.conv.weight"][:, 0] *= 1e4
        inputs = normalise(images.images, subject.preprocess)
        weights["head.classifier.weight"] *= 5 / model(inputs).std(dim=0).mean()
        weights["head.classifier.bias"] -= model(inputs).mean(dim=0)
        labels = model(inputs).argmax(dim=1).numpy()
    labelled = dataclasses.replace(images, labels=labels)
    return dataclasses.replace(subject, deployed=fold(model), validation=labelled)


def test_the_layer_that_costs_accuracy_in_int8_is_named(tmp_path: Path) -> None:
    exported = onnx_int8.write(coarse_subject(tmp_path / "run"), tmp_path, no_progress)
    calibration = exported.details["calibration"]
    assert calibration["fp32"]["accuracy"] == 1
    assert calibration["methods"][calibration["method"]]["accuracy"] < 0.9
    worst = calibration["harmful_layers"][0]
    assert worst["layer"] == "model.stages.1.0.conv"
    assert named_harm(exported).startswith(" (most of it by: model.stages.1.0.conv")
    # Left in float, it repairs most of the loss.
    lost = calibration["methods"][calibration["method"]]["log_loss"] - calibration["fp32"]["log_loss"]
    assert worst["log_loss_gained"] > 0.8 * lost


def test_a_coarse_activation_between_two_layers_is_named(tmp_path: Path) -> None:
    subject = coarse_subject(tmp_path / "run")
    weights = dict(subject.deployed.state_dict())
    # The first layer returns a huge constant in its first channel, which the second one ignores.
    weights["stages.0.0.conv.bias"][0], weights["stages.1.0.conv.weight"][:, 0] = 3e4, 0
    subject.deployed.load_state_dict(weights)
    exported = onnx_int8.write(subject, tmp_path, no_progress)
    worst = exported.details["calibration"]["harmful_activations"][0]
    assert worst["activation"] == "Relu after model.stages.0.0.conv" and worst["log_loss_lost"] > 0.1
    assert "coarse activations: Relu after model.stages.0.0.conv" in named_harm(exported)


def test_dense_layers_in_int8_return_floats(sigmoid_bytes: bytes) -> None:
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).numpy()
    quantized = quantize_network(sigmoid_bytes, observe_activations(sigmoid_bytes, images).ranges())
    graph = onnx.load_model_from_string(quantized).graph
    coded = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.input[:1]}
    dense = [node for node in graph.node if node.op_type == "Gemm"]
    assert len(dense) == 2 and not coded.intersection(node.output[0] for node in dense)
    assert all(layer.is_int8 for layer in layers(quantized))


def test_a_layer_can_stay_in_float_and_floats_are_never_called_int8(grey_bytes: bytes) -> None:
    network = grey_bytes
    images = torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(0)).numpy()
    ranges = observe_activations(network, images).ranges()
    names = [layer.name for layer in layers(network)]
    quantized = quantize_network(network, ranges, names[:1])
    assert [layer.name for layer in layers(quantized) if not layer.is_int8] == names[:1]
    mixed = onnx_int8.number_types(quantized)
    assert str(mixed) == "weights in float32, int8 and activations in uint8" and not mixed.is_int8
    assert not onnx_int8.number_types(network).is_int8
    assert weight_bytes(quantized) > weight_bytes(quantize_network(network, ranges))
    with pytest.raises(LightcnnError, match="cannot be written in int8: 0 of 5 layers"):
        quantize_network(network, ranges, names)
