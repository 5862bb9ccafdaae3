"""Multiply-adds of ONNX's operators, compared with numbers computed by hand and with those of torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from helpers.onnx_files import node, onnx, tensor, write_graph
from torch import Tensor, nn

from lightcnn.cli import main
from lightcnn.counting.count import Count, count
from lightcnn.errors import InputError
from lightcnn.onnxfiles.count import count_graph
from lightcnn.onnxfiles.macs import FREE, RULES, _einsum
from lightcnn.onnxfiles.read import read_graph
from lightcnn.onnxfiles.write import onnx_bytes

UNKNOWN = {"DFT", "STFT", "Det", "LinearAttention"}
"""Operators with products that are not counted, so that they are in the notes."""
NOT_OF_NETWORKS = {
    "Constant", "If", "Loop", "Scan", "ImageDecoder", "Optional", "OptionalGetElement", "OptionalHasElement",
    "ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
    "SequenceLength", "SequenceMap", "SplitToSequence", "RegexFullMatch", "StringConcat", "StringNormalizer",
    "StringSplit", "TfIdfVectorizer",
}  # fmt: skip
"""Operators of control flow, sequences and text."""


def counted(path: Path, nodes: list[Any], tensors: Any = (), **others: Any) -> Count:
    return count_graph(read_graph(write_graph(path / "a.onnx", nodes, tensors, **others)))


def integers(name: str, *shape: int, kind: Any = np.uint8) -> Any:
    return onnx.numpy_helper.from_array(np.ones(shape, kind), name)


def test_every_operator_of_onnx_is_counted_free_or_unknown() -> None:
    names = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert names - FREE - RULES.keys() <= UNKNOWN | NOT_OF_NETWORKS
    assert not FREE & RULES.keys()
    assert len(names & FREE) > 150


def numbers(name: str, values: Any, kind: Any = np.int64) -> Any:
    return onnx.numpy_helper.from_array(np.array(values, kind), name)


STEPS = [node("Reshape", "image,as steps", "steps")]
TOKENS = [node("Reshape", "image,as tokens", "tokens")]
"""The image (1, 3, 4, 4) as a sequence of 4 steps of 12 values, and as 12 tokens of 4 values."""
SIZES = [numbers("as steps", [4, 1, 12]), numbers("as tokens", [1, 12, 4])]


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize(("direction", "count"), [("forward", 1), ("reverse", 1), ("bidirectional", 2)])
def test_recurrent_layers(operator: str, gates: int, direction: str, count: int, tmp_path: Path) -> None:
    tensors = [tensor("w", count, gates * 5, 12), tensor("r", count, gates * 5, 5), tensor("b", count, gates * 10)]
    layer = node(operator, "steps,w,r,b", hidden_size=5, direction=direction)
    costs = counted(tmp_path, [*STEPS, layer], [*SIZES, *tensors])
    assert costs.macs == 4 * count * gates * 5 * (12 + 5)
    assert costs.params == count * gates * (5 * (12 + 5) + 10)
    assert costs.weight_bytes["int8"] == count * gates * (5 * (12 + 5) + 4 * 10)


@pytest.mark.parametrize(
    ("nodes", "macs"),
    [
        ([node("Attention", "image,image,image")], 2 * 3 * 4 * 4 * 4),
        ([*TOKENS, node("Attention", "tokens,tokens,tokens", q_num_heads=2, kv_num_heads=2)], 2 * 12 * 12 * 4),
        ([node("Attention", "image,k,v")], 3 * 4 * 7 * (4 + 6)),
        ([node("Attention", "image,k,v,,past,past2")], 3 * 4 * (7 + 2) * (4 + 6)),
        ([*TOKENS, node("MultiHeadAttention", "tokens,k3,k3", num_heads=2, domain="com.microsoft")], 12 * 9 * 8),
        (
            [*TOKENS, node("Attention", "tokens,qkv,bias", num_heads=2, domain="com.microsoft")],
            12 * 4 * 18 + 2 * 12 * 12 * 6,
        ),
    ],
)
def test_attention(nodes: list[Any], macs: int, tmp_path: Path) -> None:
    tensors = [
        *SIZES, tensor("k", 1, 3, 7, 4), tensor("v", 1, 3, 7, 6), tensor("past", 1, 3, 2, 4),
        tensor("past2", 1, 3, 2, 6), tensor("k3", 1, 9, 4), tensor("qkv", 4, 18), tensor("bias", 18),
    ]  # fmt: skip
    rank = 3 if len(nodes) > 1 else 4
    costs = counted(tmp_path, nodes, tensors, opset=24, rank=rank)
    assert costs.macs == macs
    assert len(costs.notes) == 1


def test_group_query_attention(tmp_path: Path) -> None:
    """4 query heads and 2 key heads of 8 values, 12 tokens, and 3 earlier ones."""
    project = [node("MatMul", "tokens,q", "queries"), node("MatMul", "tokens,kv", "keys")]
    attention = node(
        "GroupQueryAttention", "queries,keys,keys,past,past,last,total", "out,new_keys,new_values",
        num_heads=4, kv_num_heads=2, domain="com.microsoft",
    )  # fmt: skip
    tensors = [
        *SIZES, tensor("q", 4, 32), tensor("kv", 4, 16), tensor("past", 1, 2, 3, 8),
        numbers("last", [14], np.int32), numbers("total", 15, np.int32),
    ]  # fmt: skip
    costs = counted(tmp_path, [*TOKENS, *project, attention], tensors, rank=3)
    assert costs.macs == 12 * 4 * 32 + 12 * 4 * 16 + 2 * 12 * (12 + 3) * 32


@pytest.mark.parametrize(
    ("equation", "sizes", "macs"),
    [
        ("bn,anm,bm->ba", [(1, 48), (16, 48, 48), (1, 48)], 48 * 48 * 16 + 48 * 16),  # nn.Bilinear
        ("ij,jk->ik", [(2, 3), (3, 5)], 30),
        ("ij,jk", [(2, 3), (3, 5)], 30),
        ("...ij,...jk->...ik", [(4, 2, 3), (7, 1, 3, 5)], 4 * 7 * 30),
        ("bhid,bhjd->bhij", [(1, 4, 6, 8), (1, 4, 9, 8)], 4 * 6 * 9 * 8),
        ("ij,ij->ij", [(2, 3), (2, 3)], 0),  # a product without a sum
        ("i,j->ij", [(2,), (3,)], 0),
        ("ij->ji", [(2, 3)], 0),
        ("ijk,jl->jl", [(2, 3, 4), (3, 5)], 0),  # i and k are summed up before, as in torch
        ("ij,ij->", [(2, 3), (2, 3)], 6),
    ],
)
def test_einsum(equation: str, sizes: list[tuple[int, ...]], macs: int) -> None:
    out = torch.einsum(equation, *(torch.ones(size) for size in sizes))
    assert _einsum({"equation": equation.encode()}, sizes, tuple(out.shape)) == macs


@pytest.mark.parametrize(
    ("nodes", "macs", "params"),
    [
        ([node("Einsum", "image,p", equation="bchw,wo->bcho")], 48 * 5, 20),
        ([node("DeformConv", "image,w,offsets,bias", kernel_shape=[1, 1])], 32 * 3, 6 + 2),
        ([node("Cast", "image", "i", to=2), node("ConvInteger", "i,i8", "o"), node("Cast", "o", to=1)], 32 * 3, 6),
        ([node("Cast", "image", "i", to=2), node("MatMulInteger", "i,m8", "o"), node("Cast", "o", to=1)], 48 * 5, 20),
        (
            [node("Cast", "image", "i", to=2), node("QLinearConv", "i,s,z,i8,s,z,s,z", "o"), node("Cast", "o", to=1)],
            32 * 3, 6,
        ),
        (
            [node("Cast", "image", "i", to=2), node("QLinearMatMul", "i,s,z,m8,s,z,s,z", "o"), node("Cast", "o", to=1)],
            48 * 5, 20,
        ),
        ([node("ConvTranspose", "image,t", group=3, strides=[2, 2])], 48 * 2 * 4, 24),
        ([node("AffineGrid", "theta,grid", "g"), node("GridSample", "image,g")], 0, 0),
        ([node("DynamicQuantizeMatMul", "image,m8,s,z", domain="com.microsoft")], 48 * 5, 20),
        ([node("FusedMatMul", "image,p", transA=1, domain="com.microsoft")], 48 * 5, 20),
        ([node("FusedGemm", "flat,g48", transB=1, activation="Relu", domain="com.microsoft")], 48 * 5, 240),
    ],
    ids=lambda value: value[-1].op_type if isinstance(value, list) else None,
)  # fmt: skip
def test_other_products(nodes: list[Any], macs: int, params: int, tmp_path: Path) -> None:
    tensors = [
        tensor("p", 4, 5), tensor("w", 2, 3, 1, 1), tensor("offsets", 1, 2, 4, 4), tensor("bias", 2),
        integers("i8", 2, 3, 1, 1), integers("m8", 4, 5), tensor("s"), integers("z"), tensor("t", 3, 2, 2, 2),
        tensor("theta", 1, 2, 3), tensor("g48", 5, 48),
        numbers("grid", [1, 3, 4, 4]),
    ]  # fmt: skip
    flat = [node("Flatten", "image", "flat")] if nodes[0].op_type == "FusedGemm" else []
    costs = counted(tmp_path, [*flat, *nodes], tensors, opset=22, rank=2 if flat else 4)
    assert (costs.macs, costs.params) == (macs, params)
    assert len(costs.notes) == 1


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Pad", "image,pads", "padded"), node("DFT", "padded,,axis")],
        [*TOKENS, node("MatMulNBits", "tokens,nbits,scales", K=4, N=5, bits=4, block_size=16, domain="com.microsoft")],
    ],
    ids=lambda nodes: nodes[-1].op_type,
)
def test_an_operator_that_is_neither_counted_nor_free_is_in_the_notes(nodes: list[Any], tmp_path: Path) -> None:
    tensors = [
        *SIZES, numbers("pads", [0] * 7 + [-2]), numbers("axis", 2), integers("nbits", 5, 1, 8), tensor("scales", 5),
    ]  # fmt: skip
    costs = counted(tmp_path, nodes, tensors, opset=20, rank=3 if nodes[-1].domain else 4)
    name = nodes[-1].op_type
    assert f"the multiply-adds of {name} (1 call) are unknown and not counted" in costs.notes
    stored = f"the stored tensors of {name} are not counted as parameters"
    assert (stored in costs.notes) == (name == "MatMulNBits")


TOP = node("TopK", "image,one value")
TOP.output.append("indices")


@pytest.mark.parametrize(
    ("nodes", "rank"),
    [
        ([node("NonZero", "image", "o"), node("Cast", "o", to=1)], 2),
        ([node("Reshape", "image,flat", "f"), node("Cast", "f", "c", to=9), node("Compress", "f,c")], 1),
        (
            [
                node("ReduceMax", "image", "top", keepdims=0), node("Cast", "top", "i", to=7),
                node("Clip", "i,low,high", "k"), node("Reshape", "k,flat", "one value"), TOP,
            ],
            4,
        ),
    ],
    ids=["NonZero", "Compress", "TopK"],
)  # fmt: skip
def test_a_size_that_depends_on_the_image_is_refused(nodes: list[Any], rank: int, tmp_path: Path) -> None:
    tensors = [numbers("low", 1), numbers("high", 4), numbers("flat", [-1])]
    with pytest.raises(InputError, match="depends on the values in its image, so its cost is not one number"):
        counted(tmp_path, nodes, tensors, rank=rank)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.conv, self.rnn = nn.Conv2d(3, 8, 3, padding=1), kind(64, 16, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Any:
        return self.rnn(self.conv(x).permute(0, 2, 1, 3).flatten(2))[0]


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(12, 24, 5)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.flatten(1)[:, :12], x.flatten(1)[:, 12:36])


class Deformable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(3, 18, 3, padding=1)
        self.conv = torchvision.ops.DeformConv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return self.conv(x, self.offsets(x))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.flatten(1)[:, :160].reshape(-1, 10, 16))


@pytest.mark.filterwarnings("ignore:The tensor attributes self.rnn:UserWarning")
@pytest.mark.parametrize("make", [Bilinear, Transformer])
def test_an_exported_network_is_counted_as_in_torch(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    model = make().eval()
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(model, (3, 8, 8)))
    exported, ours = count_graph(read_graph(tmp_path / "a.onnx")), count(model, (3, 8, 8))
    assert exported.macs == ours.macs > 0
    assert len(exported.notes) == 1


def test_the_command_marks_and_warns_of_what_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nodes = [node("MatMul", "image,p", "m"), node("Pad", "m,pads", "padded"), node("DFT", "padded,,axis")]
    tensors = [tensor("p", 4, 1), numbers("pads", [0] * 8), numbers("axis", 2)]
    write_graph(tmp_path / "a.onnx", nodes, tensors, opset=20)
    assert main.run(["profile", "a.onnx", "quick", "--no-latency", "--out", "run"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line for line in printed.splitlines() if line}
    assert "48†" in rows["a"] and "†" not in rows["quick"]
    assert "† at least so many: operators of this network are unknown and not counted" in printed
    assert "warning: The multiply-adds of DFT in a are unknown and not counted" in printed
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    (warning,) = report["warnings"]
    assert (warning["code"], warning["count"]) == ("operators_uncounted", 1)
    assert [row["unknown"] for row in report["rows"]] == [{"DFT": 1}, {}]
    assert "are unknown and not counted" in (tmp_path / "run" / "report.html").read_text()
