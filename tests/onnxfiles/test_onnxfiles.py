"""ONNX: files written from networks, read as hostile, counted by the same rules, and timed beside PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from helpers.paths import GOLDEN
from helpers.specs import random_spec
from torch import nn

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.cli import main
from lightcnn.cost import cost
from lightcnn.counting.copies import eval_copy
from lightcnn.counting.count import count
from lightcnn.counting.folding import fold_pairs, foldable_pairs
from lightcnn.counting.trace import trace
from lightcnn.errors import InputError, LightcnnError
from lightcnn.network import fold
from lightcnn.onnxfiles.count import count_graph
from lightcnn.recipe import Recipe
from lightcnn.spec import NetworkSpec

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lightcnn.measurement import latency, runtimes  # noqa: E402
from lightcnn.onnxfiles.read import MAX_BYTES, read_graph  # noqa: E402
from lightcnn.onnxfiles.runtime import open_session, quantize, session_outputs  # noqa: E402
from lightcnn.onnxfiles.write import onnx_bytes  # noqa: E402

FLOAT = 1  # of onnx.TensorProto


def lively(model: nn.Module) -> nn.Module:
    """With statistics and biases that differ: a writer merges tensors that are equal."""
    random = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=random)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5, generator=random)  # type: ignore[union-attr]
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(0.5, 1.5, generator=random)
    return model.eval()


def file_of(spec: Any, path: Path) -> nn.Module:
    """Writes the deployed network of a spec and returns that."""
    model = lively(build_network(spec, 0, pretrained=False))
    deployed = fold_pairs(model, foldable_pairs(model, trace(model, spec.input)))
    path.write_bytes(onnx_bytes(deployed, spec.input))
    return deployed


def small(path: Path, nodes: list[Any], tensors: Any = (), *, dims: Any = (1, 3, 4, 4), **others: Any) -> Path:
    """A file with these nodes from `image` to `out`; `others`: `kind` of the image, `rank` of `out`, further inputs."""
    make = onnx.helper.make_tensor_value_info
    image = make("image", others.get("kind", FLOAT), dims)
    out = make("out", FLOAT, [f"side{place}" for place in range(others.get("rank", 4))])
    graph = onnx.helper.make_graph(nodes, "g", [image, *others.get("extra", ())], [out], list(tensors))
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(proto.SerializeToString())
    return path


def tensor(name: str, *shape: int) -> Any:
    return onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)


def node(operator: str, inputs: str, out: str = "out", **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs.split(","), [out], **attributes)


# Writing


def test_a_written_file_answers_as_torch_does_and_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    spec = Recipe.load("quick").network
    deployed = file_of(spec, tmp_path / "a.onnx")
    data = (tmp_path / "a.onnx").read_bytes()
    images = np.random.default_rng(0).random((3, *spec.input), dtype=np.float32)
    with torch.inference_mode():
        expected = deployed(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(session_outputs(open_session(data, 1), images)[0], expected, atol=1e-4, rtol=1e-4)
    assert str(Path.cwd()).encode() not in data and b"lightcnn" not in data
    assert onnx_bytes(deployed, spec.input) == data


def test_a_file_in_int8_is_smaller_and_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = Recipe.load("micrompoxnet").network
    file_of(spec, tmp_path / "a.onnx")
    whole = (tmp_path / "a.onnx").read_bytes()
    caplog.clear()
    data = quantize(whole, spec.input)
    assert not caplog.records
    assert len(data) < len(whole) / 2
    assert session_outputs(open_session(data, 1), np.zeros((2, *spec.input), np.float32))[0].shape == (2, 1)
    assert quantize(whole, spec.input) == data
    (tmp_path / "b.onnx").write_bytes(data)
    one, other = (count_graph(read_graph(tmp_path / name)) for name in ("a.onnx", "b.onnx"))
    assert (other.macs, other.params, other.weight_bytes) == (one.macs, one.params, one.weight_bytes)
    assert {"QuantizeLinear", "DequantizeLinear"} <= other.uncounted.keys()


def test_what_cannot_be_written_or_run_says_so_in_one_line() -> None:
    class Choosing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(LightcnnError, match="cannot be written as ONNX: ") as error:
        onnx_bytes(Choosing(), (3, 8, 8))
    assert "\n" not in str(error.value)
    for work in (lambda: open_session(b"\x00nothing", 1), lambda: quantize(b"\x00nothing", (3, 8, 8))):
        with pytest.raises(LightcnnError) as error:
            work()
        assert "\n" not in str(error.value)


# Counting


@pytest.mark.parametrize(
    ("name", "macs"), [("mobilenetv2", 300_774_272), ("resnet18", 1_814_073_344), ("micrompoxnet", 458_293_280)]
)
def test_known_networks_have_their_known_multiply_adds(name: str, macs: int, tmp_path: Path) -> None:
    spec = NetworkSpec.load(GOLDEN / f"{name}.yaml")
    deployed = file_of(spec, tmp_path / "a.onnx")
    told = count_graph(read_graph(tmp_path / "a.onnx"))
    assert (told.macs, told.macs_as_given) == (macs, macs)
    assert told.params == sum(parameter.numel() for parameter in deployed.parameters())
    assert (told.fvcore, told.thop, told.torch) == (None, None, None)
    assert told.file_bytes == (tmp_path / "a.onnx").stat().st_size > 4 * told.params
    require_sums(told)


def require_sums(told: Any) -> None:
    assert sum(layer.params for layer in told.layers) == told.params
    assert sum(layer.macs for layer in told.layers) == told.macs
    assert (
        max(layer.activation_bytes for layer in told.layers) == told.peak_activation_bytes == 4 * told.peak_activations
    )
    assert len({layer.name for layer in told.layers}) == len(told.layers)


@pytest.mark.parametrize("seed", range(6))
def test_the_file_of_a_spec_costs_what_the_spec_says(seed: int, tmp_path: Path) -> None:
    spec = random_spec(Random(seed))
    model = fold(lively(build_network(spec, 0)))
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(model, spec.input))
    told = count_graph(read_graph(tmp_path / "a.onnx"))
    assert (told.macs, told.params) == (cost(spec).macs, cost(spec).params_deployed)
    assert told.weight_bytes == {"fp32": cost(spec).weight_bytes_fp32, "int8": cost(spec).weight_bytes_int8}
    assert told.peak_activations >= cost(spec).peak_activations
    require_sums(told)


@pytest.mark.parametrize("name", ["convnext_tiny", "deit_tiny_patch16_224"])
def test_norms_that_stay_and_attention_are_counted_as_in_torch(name: str, tmp_path: Path) -> None:
    spec = BaselineSpec(baseline=f"timm:{name}", input=(3, 224, 224), classes=10, head="own", dropout=0.0)
    model = build_network(spec, 0, pretrained=False).eval()
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(model, spec.input))
    told = count_graph(read_graph(tmp_path / "a.onnx"))
    assert told.macs == count(model, spec.input).macs
    require_sums(told)


def test_every_operator_is_counted_by_its_rule(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "image,w", "a", group=3),  # 3×3×3 of 4×4: 9 a channel, kernel 2×2
        node("ConvTranspose", "a,t", "b"),  # every one of 27 inputs meets 2 outputs × 2×2
        node("BatchNormalization", "b,s,s2,m,v", "c"),
        node("Mul", "c,two", "d"),
        node("Flatten", "d", "e"),
        node("Gemm", "e,g", "f", transB=1),
        node("Add", "f,bias", "h"),
        node("MatMul", "h,p"),
    ]
    tensors = [
        tensor("w", 3, 1, 2, 2), tensor("t", 3, 2, 2, 2), *(tensor(name, 2) for name in ("s", "s2", "m", "v")),
        tensor("two"), tensor("g", 5, 32), tensor("bias", 5), tensor("p", 5, 7),
    ]  # fmt: skip
    told = count_graph(read_graph(small(tmp_path / "a.onnx", nodes, tensors, rank=2)))
    by_kind = {layer.kind: (layer.macs, layer.params) for layer in told.layers}
    assert by_kind == {
        "Conv": (27 * 4, 12), "ConvTranspose": (27 * 8, 24), "BatchNormalization": (0, 4), "Mul": (0, 0),
        "Gemm": (160, 160), "Add": (0, 5), "MatMul": (35, 35),
    }  # fmt: skip
    assert (told.params, told.params_with_buffers) == (240, 244)
    assert told.unfolded == ("BatchNormalization_2",)
    assert told.weight_bytes["int8"] == 12 + 24 + 160 + 35 + 4 * 9
    assert dict(told.uncounted) == {"BatchNormalization": 1, "Mul": 1, "Add": 1}
    assert told.peak_activations == 48 + 27


@pytest.mark.parametrize("form", ["QOperator", "QDQ", "dynamic"])
def test_int8_files_of_others_are_counted_alike(form: str, tmp_path: Path) -> None:
    from onnxruntime import quantization

    spec = Recipe.load("quick").network
    file_of(spec, tmp_path / "a.onnx")
    one, graph = count_graph(read_graph(tmp_path / "a.onnx")), read_graph(tmp_path / "a.onnx")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        left = iter([{graph.image: graph.images()}])

        def get_next(self) -> Any:
            return next(self.left, None)

    if form == "dynamic":
        quantization.quantize_dynamic(
            tmp_path / "a.onnx", tmp_path / "b.onnx", weight_type=quantization.QuantType.QUInt8
        )
    else:
        kind = getattr(quantization.QuantFormat, form)
        quantization.quantize_static(tmp_path / "a.onnx", tmp_path / "b.onnx", Reader(), quant_format=kind)
    told = count_graph(read_graph(tmp_path / "b.onnx"))
    assert (told.macs, told.params) == (one.macs, one.params)
    assert told.file_bytes < one.file_bytes


# Reading what is hostile


def refused(path: Path, input: Any = None) -> str:
    with pytest.raises(InputError) as error:
        count_graph(read_graph(path, input))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = small(tmp_path / "a.onnx", [node("Relu", "image")])
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        refused(path)
    path.write_bytes(whole)
    assert count_graph(read_graph(path)).macs == 0
    assert "cannot be read" in refused(tmp_path / "none.onnx")


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_wrong_bytes_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    nodes = [node("Conv", "image,w", "a"), node("Relu", "a")]
    path = small(tmp_path / "a.onnx", nodes, [tensor("w", 2, 3, 2, 2)])
    spoiled = bytearray(path.read_bytes())
    for _ in range(3):
        spoiled[random.randrange(len(spoiled))] = random.randrange(256)
    path.write_bytes(spoiled)
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
    assert "which is no file of its folder" in refused(outside(folder / "a.onnx", place))


def outside(path: Path, place: str) -> Path:
    held = tensor("w", 1, 3, 2, 2)
    onnx.external_data_helper.set_external_data(held, place, length=48)
    held.ClearField("raw_data")
    return small(path, [node("Conv", "image,w")], [held])


def test_tensors_beside_the_file_are_read(tmp_path: Path) -> None:
    path = outside(tmp_path / "a.onnx", "w.bin")
    (tmp_path / "w.bin").write_bytes(np.ones(12, np.float32).tobytes())
    graph = read_graph(path)
    told = count_graph(graph)
    assert (told.params, told.macs) == (12, 9 * 12)
    assert told.file_bytes == path.stat().st_size + 48
    assert session_outputs(open_session(graph.data, 1), np.ones((1, 3, 4, 4), np.float32))[0].max() == 12
    (tmp_path / "w.bin").write_bytes(b"short")
    assert "damaged" in refused(path)


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"at most {MAX_BYTES:,} are read" in refused(path)


def test_a_tensor_that_no_network_has_is_refused(tmp_path: Path) -> None:
    sides = onnx.numpy_helper.from_array(np.array([1, 30000, 300, 300]), "sides")
    nodes = [node("Expand", "one,sides", "a"), node("Add", "image,a")]
    assert "elements; at most" in refused(
        small(tmp_path / "a.onnx", nodes, [sides, tensor("one", 1)], dims=(1, 1, 1, 1))
    )


def test_what_is_no_network_of_one_image_is_refused(tmp_path: Path) -> None:
    path, relu = tmp_path / "a.onnx", [node("Relu", "image")]
    other = onnx.helper.make_tensor_value_info("other", FLOAT, (1,))
    assert "takes 2 inputs (image, other)" in refused(small(path, [node("Add", "image,other")], extra=[other]))
    assert "no batch of images" in refused(small(path, relu, dims=(1, 10)))
    assert "no batch of images" in refused(small(path, [node("Identity", "image")], kind=onnx.TensorProto.STRING))
    assert "takes 8 images at once" in refused(small(path, relu, dims=(8, 3, 4, 4)))
    assert "give one with --input" in refused(small(path, relu, dims=("n", 3, "h", "w")))
    assert "--input 3x8x8: it takes images of 3×4×4" in refused(small(path, relu), (3, 8, 8))


def test_a_file_that_chooses_what_it_computes_has_no_count(tmp_path: Path) -> None:
    inner = onnx.helper.make_tensor_value_info("x", FLOAT, (1, 3, 4, 4))
    body = onnx.helper.make_graph([node("Relu", "image", "x")], "b", [], [inner])
    yes = onnx.numpy_helper.from_array(np.array(True), "yes")
    chooses = node("If", "yes", then_branch=body, else_branch=body)
    assert "it has no one count" in refused(small(tmp_path / "a.onnx", [chooses], [yes]))


def test_sizes_that_are_free_are_set(tmp_path: Path) -> None:
    path, conv = tmp_path / "a.onnx", ([node("Conv", "image,w")], [tensor("w", 2, 3, 1, 1)])
    graph = read_graph(small(path, *conv, dims=("n", 3, "h", "w")), (3, 10, 5))
    assert (graph.input, graph.free, count_graph(graph).macs) == ((3, 10, 5), True, 50 * 6)
    assert not read_graph(small(path, *conv)).free
    small(path, [node("Add", "image,b")], [tensor("b", 3, 1, 1)], dims=("n", "c", "h", "w"))
    assert "do not fit an image of 4×10×5" in refused(path, (4, 10, 5))


# Timing and the command


def test_all_runtimes_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)
    monkeypatch.setattr(latency, "MIN_ROUNDS", 3)
    file = tmp_path / "mine.onnx"
    deployed = file_of(Recipe.load("quick").network, file)
    names = ["folded", "eager", "onnx", "onnx-int8"]
    out = tmp_path / "run"
    arguments = ["profile", "quick", str(file), "--runtime", ",".join(names), "--memory", "--json", "--out", str(out)]
    assert main.run(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    spec, own = report["rows"]
    assert [one["runtime"] for one in spec["latencies"]] == names
    assert all(one["median"] > 0 and one["images_per_second"] > 0 and one["batch"] == 4 for one in spec["latencies"])
    assert spec["notes"] == []
    assert [one["runtime"] for one in own["latencies"]] == ["onnx"]
    assert (own["name"], own["macs"], own["fvcore"]) == ("mine", spec["macs"], None)
    assert own["params"] == sum(parameter.numel() for parameter in deployed.parameters())
    assert own["peak_resident_bytes"]["process"] > own["peak_resident_bytes"]["own"] > 0
    assert report["machine"]["packages"]["onnxruntime"]
    page = (out / "report.html").read_text()
    assert "Every runtime" in page and "for its speed alone" in page


def test_a_file_that_is_refused_is_a_row_that_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nothing")
    arguments = ["profile", "quick", str(bad), "--no-latency", "--columns", "name", "--format", "csv"]
    assert main.run([*arguments, "--out", str(tmp_path / "run")]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["name", "quick"]
    assert "bad.onnx: damaged, or no ONNX file" in printed.err


def test_answers_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Recipe.load("quick").network
    model = build_network(spec, 0)
    other = onnx_bytes(fold(build_network(spec, 1)), spec.input)
    found = {"runtimes": ("onnx",), "device": torch.device("cpu"), "batch": 2, "threads": 1}
    (same,) = runtimes.timed_models(
        eval_copy(model), foldable_pairs(model, trace(model, spec.input)), spec.input, **found
    )  # type: ignore[arg-type]
    assert same.note == ""
    monkeypatch.setattr(runtimes, "onnx_bytes", lambda *_: other)
    (wrong,) = runtimes.timed_models(model, (), spec.input, **found)  # type: ignore[arg-type]
    assert "ONNX Runtime's answers differ from torch's by up to" in wrong.note
