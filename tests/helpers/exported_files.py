"""Small ONNX files as `lightcnn export` writes them, networks of torch that compute the same, and image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from PIL import Image
from torch import nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.exported_metadata import ExportedMetadata, side_cars
from lightcnn.inference import evaluate
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork
from lightcnn.unlikeness import fit_unlikeness

SIZE = 12
SIZES = ((SIZE, SIZE), (100, 77), (300, 411), (7, 9), (100, 77))


class Dense(nn.Module):
    """Mean colours of the four quarters and a dense layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.pool, self.flat, self.dense = nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.dense(self.flat(self.pool(images)))
        return logits


def trained_network(*, channels: int = 3, classes: int = 3, with_score: bool = True, **changes: Any) -> TrainedNetwork:
    """A network with random weights. `changes` are those of its preprocessing."""
    torch.manual_seed(0)
    model = Dense(channels, classes).eval()
    with torch.no_grad():
        model.dense.weight.mul_(3)
    rule = Preprocess(
        size=SIZE, channels=channels, shorter_side=256, mean=(0.4,) * channels, deviation=(0.3,) * channels,
        classes=tuple(f"class {chr(97 + i)}" for i in range(classes)), temperature=1.7, **changes,
    )  # fmt: skip
    spec = NetworkSpec.model_construct(input=(channels, SIZE, SIZE), classes=classes)
    if with_score:
        images = torch.randint(0, 256, (80, channels, SIZE, SIZE), generator=torch.Generator().manual_seed(1))
        features = evaluate(model, images.to(torch.uint8), rule)[1]
        score = fit_unlikeness(features[:60], np.arange(60) % classes, features[60:], smallest_side=40)
        rule = rule.model_copy(update={"unlikeness": score})
    return TrainedNetwork(spec, model, rule)


def write_exported(path: Path, network: TrainedNetwork, /, **changes: Any) -> Path:
    """The file of a network of `trained_network`. `changes` are those of its metadata."""
    rules = network.preprocess.model_dump(mode="json")
    facts = {"format": "onnx", "preprocess": rules, "side_cars": side_cars(rules)} | changes
    metadata = ExportedMetadata(**facts)
    model = helper.make_model(
        _graph(network, metadata.takes_any_size), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    helper.set_model_props(model, metadata.properties())
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def _graph(network: TrainedNetwork, resizes: bool) -> Any:
    rule, dense, channels = network.preprocess, network.model.dense, network.preprocess.channels
    arrays: dict[str, Any] = {
        "sizes": np.array([SIZE, SIZE]), "area": np.float32(SIZE**2), "white": np.float32(255),
        "mean": np.float32(rule.mean).reshape(1, -1, 1, 1) * 255,
        "deviation": np.float32(rule.deviation).reshape(1, -1, 1, 1) * 255,
        "weight": dense.weight.detach().numpy(), "bias": dense.bias.detach().numpy(),
        "temperature": np.float32(rule.temperature), "flat": np.array([0, -1]), "space": np.array([2, 3]),
        "zero": np.array([0]), "one": np.array([1]), "last": np.array([SIZE - 1]), "end": np.array([SIZE]),
        "rows": np.array([2]), "columns": np.array([3]),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], ["floats"], to=onnx.TensorProto.FLOAT),
        node("Resize", ["floats", "", "", "sizes"], ["resized"], mode="linear", antialias=1, axes=[2, 3])
        if resizes else node("Identity", ["floats"], ["resized"]),
        node("Round", ["resized"], ["pixels"]),
        node("Sub", ["pixels", "mean"], ["centred"]), node("Div", ["centred", "deviation"], ["inputs"]),
        node("AveragePool", ["inputs"], ["quarters"], kernel_shape=[SIZE // 2] * 2, strides=[SIZE // 2] * 2),
        node("Reshape", ["quarters", "flat"], ["dense"]),
        node("Gemm", ["dense", "weight", "bias"], ["logits"], transB=1),
        node("Div", ["logits", "temperature"], ["cool"]), node("Softmax", ["cool"], ["probabilities"], axis=1),
    ]  # fmt: skip
    outputs = [("probabilities", len(rule.classes))]
    if rule.unlikeness:
        outputs.append(("features", rule.unlikeness.features))
        nodes.append(node("Div", ["pixels", "white"], ["scaled"]))
        for axis in ("rows", "columns"):
            nodes += [
                node("Slice", ["scaled", "zero", "last", axis], [f"low {axis}"]),
                node("Slice", ["scaled", "one", "end", axis], [f"high {axis}"]),
                node("Sub", [f"high {axis}", f"low {axis}"], [f"difference {axis}"]),
                node("Abs", [f"difference {axis}"], [f"steps {axis}"]),
                node("ReduceSum", [f"steps {axis}", "space"], [f"sum {axis}"], keepdims=0),
                node("Div", [f"sum {axis}", "area"], [f"step {axis}"]),
            ]
        nodes += [
            node("ReduceMean", ["scaled", "space"], ["means"]), node("Sub", ["scaled", "means"], ["offsets"]),
            node("Mul", ["offsets", "offsets"], ["squares"]),
            node("ReduceMean", ["squares", "space"], ["variances"], keepdims=0),
            node("Sqrt", ["variances"], ["deviations"]), node("Squeeze", ["means", "space"], ["colours"]),
            node("Concat", ["dense", "step rows", "step columns", "colours", "deviations"], ["features"], axis=1),
        ]  # fmt: skip
    sides = ["H", "W"] if resizes else [SIZE, SIZE]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    return helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", *sides, channels])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", width]) for name, width in outputs], tensors,
    )  # fmt: skip


def photographs(folder: Path) -> list[Path]:
    """Files of several sizes: JPEG with an EXIF turn, PNG grey, with alpha and with 16 bits."""
    random = np.random.default_rng(0)
    paths = []
    for number, (height, width) in enumerate(SIZES):
        small = random.integers(0, 256, (5, 4, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6
        paths.append(folder / f"{number}.jpg")
        image.save(paths[-1], exif=exif, quality=90)
    grey = Image.fromarray(random.integers(0, 256, (40, 60), dtype=np.uint8))
    alpha = Image.fromarray(random.integers(0, 256, (40, 60, 4), dtype=np.uint8))
    deep = Image.fromarray(random.integers(0, 4000, (40, 60), dtype=np.uint16))
    for name, image in (("grey", grey), ("alpha", alpha), ("deep", deep)):
        paths.append(folder / f"{name}.png")
        image.save(paths[-1])
    return paths
