"""What a network costs, in total and part by part."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightcnn.baselines import build_baseline, build_network
from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.counting.other_tools import fvcore_operators
from lightcnn.counting.stages import network_cost, stages
from lightcnn.device_cost import device_cost
from lightcnn.recipe import Recipe
from lightcnn.spec import NetworkSpec

COUNTED = ("conv", "linear", "addmm", "mm", "matmul", "bmm")


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv2",
        "timm:deit_tiny_patch16_224",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("resnet50v2", "convnext_tiny")),
    ],
)
def test_a_baseline_costs_what_fvcore_counts_and_its_parts_add_up(name: str) -> None:
    model = build_baseline(name, input=(3, 224, 224), head="paper", seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    costs, parts = network_cost(model.spec, model), stages(model.spec, model)
    operators = fvcore_operators(model, model.spec.input)[""]
    assert costs["macs"] == sum(part.macs for part in parts)
    assert costs["params"] == sum(part.params for part in parts) == sum(p.numel() for p in model.parameters())
    if "deit" not in name:  # whose attention is one operator that fvcore does not know
        assert costs["macs"] == sum(operators[operator] for operator in COUNTED)
    profiled = count(model, model.spec.input)
    assert {costs.pop("flash_bytes"), costs.pop("arena_bytes")} == {
        None
    }  # only the network of a spec is generated as C
    assert {name: getattr(profiled, name) for name in costs} == costs
    assert {part.name for part in parts} >= {"head.0", "head.3"}
    assert len({part.name for part in parts}) == len(parts) >= 4
    assert model.training
    assert not any(part._forward_hooks for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_baseline_costs_what_its_deployed_network_costs() -> None:
    model = build_baseline("resnet50v2", head="paper", seed=0)
    costs = network_cost(model.spec, model)
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    # A norm that precedes its convolution cannot be folded into it.
    assert costs["params"] - 2 * sum(part.num_features for part in norms) < costs["params_deployed"] < costs["params"]
    assert costs["weight_bytes"]["fp32"] == 4 * costs["params_deployed"]
    assert costs["peak_activations"] >= 64 * 112 * 112 + 64 * 56 * 56


def test_a_frozen_or_grey_baseline_costs_the_same() -> None:
    plain = build_baseline("mobilenetv2", seed=0)
    for other in (
        build_baseline("mobilenetv2", freeze=True, seed=0),
        build_baseline("mobilenetv2", input=(1, 224, 224), seed=0),
    ):
        assert network_cost(other.spec, other) == network_cost(plain.spec, plain)


def test_a_spec_costs_what_cost_computes() -> None:
    network = Recipe.load("quick").network
    assert isinstance(network, NetworkSpec)
    model: nn.Module = build_network(network, 0)
    parts = stages(network, model)
    assert network_cost(network, model) == device_cost(network).document()
    assert sum(part.macs for part in parts) == cost(network).macs
    assert sum(part.params for part in parts) == cost(network).params
