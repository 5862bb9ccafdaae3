"""The numbers of `cost` compared with those of the built networks, without any tolerance."""

from __future__ import annotations

import sys
from random import Random
from typing import Any

import pytest
import torch
from helpers.paths import GOLDEN
from helpers.specs import drawn, random_spec
from torch import fx, nn

from lightcnn.budget import Cost
from lightcnn.cost import Meter, cost, layer_extremes, layers, measure, measure_head
from lightcnn.counting.other_tools import fvcore_operators, fvcore_total, thop_total
from lightcnn.network import build, fold
from lightcnn.spec import (
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
)

SEEDS = [*range(60), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(60, 300))]
MULTIPLY_ADDS = ("conv", "linear", "addmm", "matmul", "bmm", "einsum")

every_spec = pytest.mark.parametrize("seed", SEEDS)


def numel(tensors: Any) -> int:
    return sum(tensor.numel() for tensor in tensors)


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def multiply_adds(counts: Any) -> int:
    return sum(counts[operator] for operator in MULTIPLY_ADDS)


def outputs(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """The output shape of every module for one image, without the batch."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        return lambda _module, _inputs, output: shapes.update({name: tuple(output.shape[1:])})

    hooks = [module.register_forward_hook(note(name)) for name, module in network.named_modules()]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, *shape))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


@every_spec
def test_parameters_are_those_of_the_built_network(seed: int) -> None:
    network, built, folded = drawn(seed)
    total = cost(network)
    assert total.params == numel(p for p in built.parameters() if p.requires_grad)
    statistics = numel(tensor for norm in batch_norms(built) for tensor in (norm.running_mean, norm.running_var))
    assert total.params_with_buffers == total.params + statistics
    assert total.params_deployed == numel(folded.parameters())


@every_spec
def test_int8_weights_have_one_byte_and_all_other_numbers_four(seed: int) -> None:
    network, _, folded = drawn(seed)
    weights = numel(p for name, p in folded.named_parameters() if name.endswith(".weight"))
    biases = numel(p for name, p in folded.named_parameters() if name.endswith(".bias"))
    assert weights + biases == numel(folded.state_dict().values())
    assert cost(network).weight_bytes_fp32 == 4 * (weights + biases)
    assert cost(network).weight_bytes_int8 == weights + 4 * biases


@every_spec
def test_multiply_adds_equal_those_of_fvcore_operator_by_operator(seed: int) -> None:
    network, built, folded = drawn(seed)
    total = cost(network)
    rows = {row.name: row.cost.macs for row in layers(network) if row.operator in ("conv", "linear")}
    for form, norm_share in ((built, 2 * total.norm_elements), (folded, 0)):
        operators = fvcore_operators(form, network.input)
        counted = {
            name: multiply_adds(operators[name])
            for name, module in form.named_modules()
            if isinstance(module, (nn.Conv2d, nn.Linear))
        }
        assert rows == counted
        assert sum(rows.values()) == multiply_adds(operators[""]) == total.macs
        assert sum(operators[""].values()) == total.fvcore + norm_share


@every_spec
def test_the_totals_of_thop_are_predicted(seed: int) -> None:
    network, built, folded = drawn(seed)
    total = cost(network)
    assert thop_total(folded, network.input) == total.thop
    assert thop_total(built, network.input) == total.thop + 4 * total.norm_elements


@every_spec
def test_rows_sum_to_the_total(seed: int) -> None:
    network, _, _ = drawn(seed)
    assert sum((row.cost for row in layers(network)), Cost()) == cost(network)


@every_spec
def test_rows_have_the_output_shapes_of_their_modules(seed: int) -> None:
    network, built, _ = drawn(seed)
    shapes = outputs(built, network.input)
    for row in layers(network):
        name = row.name.rpartition(".")[0] if row.operator in ("sum", "scale") else row.name
        real = shapes[name]
        assert row.shape == (*real, 1, 1)[:3], row.name


class Steps(fx.Interpreter):
    """The steps of a folded network: which tensors each of them reads, and which one it writes.

    Norms, activations, dropout, reshaping and dropped pixels are part of a neighbouring step: their output is the same
    tensor as their input.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.sizes: list[int] = []
        self.steps: list[tuple[set[int], int]] = []
        self.tensor_of: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "output":
            return value
        sources = [self.tensor_of[node] for node in n.all_input_nodes]
        if n.op == "placeholder" or self._computes(n):
            self.tensor_of[n] = len(self.sizes)
            self.sizes.append(value.numel())
            if n.op != "placeholder":
                self.steps.append((set(sources), self.tensor_of[n]))
        else:
            self.tensor_of[n] = sources[0]
        return value

    def _computes(self, n: fx.Node) -> bool:
        if n.op == "call_module":
            kinds = (nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
            return isinstance(self.fetch_attr(str(n.target)), kinds)
        return n.op == "call_function" and getattr(n.target, "__name__", "") in ("add", "mul")


def live_elements(folded: nn.Module, shape: tuple[int, int, int]) -> list[int]:
    """Elements that are alive in every step of a network, computed from the graph of torch.fx and its tensors."""
    steps = Steps(fx.symbolic_trace(folded))
    with torch.inference_mode():
        steps.run(torch.zeros(1, *shape))
    last_read = {tensor: index for index, (read, _) in enumerate(steps.steps) for tensor in read}
    made = {0: -1} | {written: index for index, (_, written) in enumerate(steps.steps)}
    return [
        sum(
            steps.sizes[tensor]
            for tensor in made
            if tensor in read or tensor == written or (made[tensor] < index < last_read.get(tensor, index))
        )
        for index, (read, written) in enumerate(steps.steps)
    ]


@every_spec
def test_peak_activations_equal_those_of_the_graph_step_by_step(seed: int) -> None:
    network, _, folded = drawn(seed)
    live = live_elements(folded, network.input)
    assert [row.cost.peak_activations for row in layers(network)] == live
    assert cost(network).peak_activations == max(live)


def network_of(*blocks: Any, size: int = 8, channels: int = 4) -> NetworkSpec:
    return NetworkSpec(input=(channels, size, size), stages=blocks, classes=2)


HAND = [
    # 4×8×8 in, 16×8×8 out.
    ("chain", (ConvBlock(width=16), ConvBlock(width=4)), 4 * 64 + 16 * 64),
    # The depthwise convolution reads and writes 8 channels while the input is stored for the sum.
    ("mbconv with skip", (InvertedResidualBlock(width=4, expand=2),), (8 + 8 + 4) * 64),
    ("mbconv without", (InvertedResidualBlock(width=6, expand=2),), (8 + 8) * 64),
    # The projection reads the input (4) and writes 8 while the body's 8 are stored; the sum reads 8 + 8 and writes 8.
    ("projection", (ResidualBlock(body=(ConvBlock(width=8),)),), (8 + 8 + 8) * 64),
    # Strided: the body's output and the projection's are 8×4×4, the input 4×8×8.
    ("strided projection", (ResidualBlock(body=(ConvBlock(width=8, stride=2),)),), 4 * 64 + 2 * 8 * 16),
    # The scale reads the map and one gate per channel, and writes the map.
    ("se", (SqueezeExciteBlock(),), (4 + 4) * 64 + 4),
    # The scale and later the sum read the map, which is stored once. The sum reads it and the scaled map.
    ("residual from se", (ResidualBlock(body=(SqueezeExciteBlock(),)),), 3 * 4 * 64),
    ("se, conv", (ResidualBlock(body=(SqueezeExciteBlock(), ConvBlock(width=16)), shortcut="conv"),), 3 * 16 * 64),
    # Both sums need the same stored map while the depthwise convolution reads and writes 8 channels.
    ("residual from mbconv", (ResidualBlock(body=(InvertedResidualBlock(width=4, expand=2),)),), (8 + 8 + 4) * 64),
    # The second inner skip needs another map than the outer one: 8 + 8 + 4 + 4.
    ("mbconvs", (ResidualBlock(body=(InvertedResidualBlock(width=4, expand=2, depth=2),)),), (8 + 8 + 4 + 4) * 64),
]  # fmt: skip


@pytest.mark.parametrize(("blocks", "peak"), [pytest.param(blocks, peak, id=name) for name, blocks, peak in HAND])
def test_peak_activations_equal_those_computed_by_hand(blocks: tuple[Any, ...], peak: int) -> None:
    assert cost(network_of(*blocks)).peak_activations == peak


def test_a_table_of_layers_equals_one_computed_by_hand() -> None:
    network = NetworkSpec(
        input=(3, 8, 8),
        stem=(ConvBlock(width=4, stride=2, bias=True),),
        stages=(SeparableBlock(width=6, inner=False), PoolBlock(op="avg")),
        head=HeadSpec(hidden=(5,)),
        classes=3,
    )
    rows = [(row.name, row.operator, row.shape, row.cost.params, row.cost.macs) for row in layers(network)]
    assert rows == [
        ("stem.0.0.conv", "conv", (4, 4, 4), 4 * 27 + 4 + 8, 4 * 27 * 16),
        ("stages.0.0.depthwise.conv", "conv", (4, 4, 4), 4 * 9, 4 * 9 * 16),
        ("stages.0.0.pointwise.conv", "conv", (6, 4, 4), 24 + 12, 24 * 16),
        ("stages.1.0", "avgpool", (6, 2, 2), 0, 0),
        ("head.pool", "global avgpool", (6, 1, 1), 0, 0),
        ("head.hidden.0", "linear", (5, 1, 1), 30 + 5, 30),
        ("head.classifier", "linear", (3, 1, 1), 15 + 3, 15),
    ]
    total = cost(network)
    assert (total.params, total.params_with_buffers, total.params_deployed) == (245, 265, 225 + 6)
    assert total.norm_elements == 4 * 16 + 6 * 16
    assert (total.fvcore - total.macs, total.thop - total.macs) == (24, 24 + 24 + 6)


GOLDEN_COSTS = {
    "mobilenetv2": Cost(params=3_504_872, macs=300_774_272, peak_activations=1_505_280),
    "resnet18": Cost(params=11_689_512, macs=1_814_073_344),
    "micrompoxnet": Cost(params=629_689, params_with_buffers=632_889, params_deployed=626_489, macs=458_293_280),
}


def test_every_golden_network_is_tested_here() -> None:
    assert sorted(path.name for path in GOLDEN.glob("*.yaml")) == sorted(f"{name}.yaml" for name in GOLDEN_COSTS)


@pytest.mark.parametrize("name", GOLDEN_COSTS)
def test_golden_networks_have_the_published_costs(name: str) -> None:
    total = cost(NetworkSpec.load(GOLDEN / f"{name}.yaml"))
    published = {key: value for key, value in vars_of(GOLDEN_COSTS[name]).items() if value}
    assert {key: vars_of(total)[key] for key in published} == published


def vars_of(total: Cost) -> dict[str, int]:
    return {key: getattr(total, key) for key in Cost.__slots__}


@pytest.mark.parametrize("name", GOLDEN_COSTS)
def test_built_golden_networks_have_the_computed_costs(name: str) -> None:
    network = NetworkSpec.load(GOLDEN / f"{name}.yaml")
    total, built = cost(network), build(network, seed=0)
    folded = fold(built)
    assert numel(built.parameters()) == total.params
    assert fvcore_total(folded, network.input) == total.fvcore
    assert thop_total(folded, network.input) == total.thop
    assert max(live_elements(folded, network.input)) == total.peak_activations


@pytest.mark.parametrize("seed", range(100))
def test_the_totals_of_consecutive_parts_add_up(seed: int) -> None:
    network = random_spec(Random(seed))
    whole = Meter(network.input)
    for block in (*network.stem, *network.stages):
        whole.add(measure([block], whole.shape))
    whole.add(measure_head(network, whole.shape))
    assert whole.total() == cost(network)


@pytest.mark.parametrize("seed", range(100))
def test_the_extremes_are_those_of_the_table_of_layers(seed: int) -> None:
    network = random_spec(Random(seed))
    rows = layers(network)
    narrowest, largest = layer_extremes(network)
    assert largest == max(row.cost.macs for row in rows)
    convolutions = [row for row in rows if row.operator == "conv"]
    wide = [row.shape[0] for row in convolutions if "depthwise" not in row.name and "reduce" not in row.name]
    assert narrowest == min(wide, default=sys.maxsize)
