"""ONNX files are counted by the same rules as modules."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from helpers.onnx_files import export_deployed, node, onnx, randomise_statistics, tensor, write_graph
from helpers.paths import GOLDEN
from helpers.specs import random_spec

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.network import fold
from lightcnn.onnxfiles.count import count_graph
from lightcnn.onnxfiles.read import read_graph
from lightcnn.onnxfiles.write import onnx_bytes
from lightcnn.recipe import Recipe
from lightcnn.spec import NetworkSpec


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("mobilenetv2", 300_774_272),
        pytest.param("resnet18", 1_814_073_344, marks=pytest.mark.long),
        pytest.param("micrompoxnet", 458_293_280, marks=pytest.mark.long),
    ],
)
def test_known_networks_have_their_known_multiply_adds(name: str, macs: int, tmp_path: Path) -> None:
    spec = NetworkSpec.load(GOLDEN / f"{name}.yaml")
    deployed = export_deployed(spec, tmp_path / "a.onnx")
    counted = count_graph(read_graph(tmp_path / "a.onnx"))
    assert (counted.macs, counted.macs_as_given) == (macs, macs)
    assert counted.params == sum(parameter.numel() for parameter in deployed.parameters())
    assert (counted.fvcore, counted.thop, counted.torch) == (None, None, None)
    assert counted.file_bytes == (tmp_path / "a.onnx").stat().st_size > 4 * counted.params
    require_sums(counted)


def require_sums(counted: Any) -> None:
    """Asserts that layers add up to the network, and that the largest layer is its peak."""
    assert sum(layer.params for layer in counted.layers) == counted.params
    assert sum(layer.macs for layer in counted.layers) == counted.macs
    assert (
        max(layer.activation_bytes for layer in counted.layers)
        == counted.peak_activation_bytes
        == 4 * counted.peak_activations
    )
    assert len({layer.name for layer in counted.layers}) == len(counted.layers)


@pytest.mark.parametrize("seed", [0, 2, 5, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 3, 4))])
def test_the_file_of_a_spec_costs_as_much_as_the_spec(seed: int, tmp_path: Path) -> None:
    spec = random_spec(Random(seed))
    model = fold(randomise_statistics(build_network(spec, 0)))
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(model, spec.input))
    counted = count_graph(read_graph(tmp_path / "a.onnx"))
    assert (counted.macs, counted.params) == (cost(spec).macs, cost(spec).params_deployed)
    assert counted.weight_bytes == {"fp32": cost(spec).weight_bytes_fp32, "int8": cost(spec).weight_bytes_int8}
    assert counted.peak_activations >= cost(spec).peak_activations
    require_sums(counted)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_vit", 160),
        pytest.param("deit_tiny_patch16_224", 224, marks=pytest.mark.long),
        pytest.param("convnext_tiny", 224, marks=pytest.mark.long),
    ],
)
def test_unfolded_norms_and_attention_are_counted_as_in_torch(name: str, size: int, tmp_path: Path) -> None:
    spec = BaselineSpec(baseline=f"timm:{name}", input=(3, size, size), classes=10, head="own", dropout=0.0)
    model = build_network(spec, 0, pretrained=False).eval()
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(model, spec.input))
    counted = count_graph(read_graph(tmp_path / "a.onnx"))
    assert counted.macs == count(model, spec.input).macs
    require_sums(counted)


def test_every_operator_is_counted_by_its_rule(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "image,w", "a", group=3),  # output 3×3×3 from 4×4: 9 per channel, kernel 2×2
        node("ConvTranspose", "a,t", "b"),  # each of 27 inputs is multiplied for 2 channels × 2×2
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
    counted = count_graph(read_graph(write_graph(tmp_path / "a.onnx", nodes, tensors, rank=2)))
    by_kind = {layer.kind: (layer.macs, layer.params) for layer in counted.layers}
    assert by_kind == {
        "Conv": (27 * 4, 12), "ConvTranspose": (27 * 8, 24), "BatchNormalization": (0, 4), "Mul": (0, 0),
        "Gemm": (160, 160), "Add": (0, 5), "MatMul": (35, 35),
    }  # fmt: skip
    assert (counted.params, counted.params_with_buffers) == (240, 244)
    assert counted.unfolded == ("BatchNormalization_2",)
    assert counted.weight_bytes["int8"] == 12 + 24 + 160 + 35 + 4 * 9
    assert dict(counted.uncounted) == {"BatchNormalization": 1, "Mul": 1, "Add": 1}
    assert counted.peak_activations == 48 + 27


@pytest.mark.parametrize("form", ["QOperator", "QDQ", "dynamic"])
def test_int8_files_in_other_forms_have_the_same_count(form: str, tmp_path: Path) -> None:
    from onnxruntime import quantization

    spec = Recipe.load("quick").network
    export_deployed(spec, tmp_path / "a.onnx")
    original, graph = count_graph(read_graph(tmp_path / "a.onnx")), read_graph(tmp_path / "a.onnx")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        images = iter([{graph.image: graph.images()}])

        def get_next(self) -> Any:
            return next(self.images, None)

    if form == "dynamic":
        proto = onnx.load(tmp_path / "a.onnx")
        del proto.graph.value_info[:]  # ONNX Runtime 1.28 transposes weights, but not the shapes that are stated here
        quantization.quantize_dynamic(proto, tmp_path / "b.onnx", weight_type=quantization.QuantType.QUInt8)
    else:
        kind = getattr(quantization.QuantFormat, form)
        quantization.quantize_static(tmp_path / "a.onnx", tmp_path / "b.onnx", Reader(), quant_format=kind)
    counted = count_graph(read_graph(tmp_path / "b.onnx"))
    assert (counted.macs, counted.params) == (original.macs, original.params)
    assert counted.file_bytes < original.file_bytes
