"""Counters leave the caller's model as it was, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.model_state import full_state, same_state
from helpers.models import timm, without_values
from helpers.paths import GOLDEN
from torch import Tensor, nn

from lightcnn.baselines import build_network
from lightcnn.counting.other_tools import (
    fvcore_operators,
    fvcore_total,
    thop_modules,
    thop_total,
    torch_operators,
    torch_total,
)
from lightcnn.network import build, fold
from lightcnn.spec import ConvBlock, InvertedResidualBlock, NetworkSpec

SHAPE = (3, 12, 10)
COUNTERS = [fvcore_total, fvcore_operators, thop_total]
EVERY = [*COUNTERS, thop_modules, torch_operators, torch_total]


class Raising(nn.Module):
    """Fails after its first layers have run."""

    def forward(self, x: Tensor) -> Tensor:
        raise ZeroDivisionError("in forward")


def network() -> nn.Module:
    stages = (ConvBlock(width=8, stride=2), InvertedResidualBlock(width=8, se=0.25))
    model = build(NetworkSpec(input=SHAPE, stages=stages, classes=4), seed=0)
    model.stages[0].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("counter", EVERY)
def test_a_counter_leaves_no_trace(counter: Callable[..., Any], training: bool) -> None:
    model = network().train(training)
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    before = full_state(model)
    first = counter(model, SHAPE)
    assert same_state(full_state(model), before)
    assert counter(model, SHAPE) == first
    with torch.inference_mode():
        assert torch.equal(model.eval()(x), network().eval()(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("counter", EVERY)
def test_a_counter_leaves_no_trace_when_the_model_raises(counter: Callable[..., Any], training: bool) -> None:
    model = network().train(training)
    model.head = Raising()
    before = full_state(model)
    with pytest.raises(ZeroDivisionError, match="in forward"):
        counter(model, SHAPE)
    assert same_state(full_state(model), before)


@pytest.mark.parametrize("counter", EVERY)
def test_counts_do_not_depend_on_the_mode(counter: Callable[..., Any]) -> None:
    assert counter(network().train(), SHAPE) == counter(network().eval(), SHAPE)


@pytest.mark.parametrize("counter", COUNTERS)
def test_models_of_other_types_are_counted(counter: Callable[..., Any]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Flatten(), nn.Linear(2 * 120, 5)).double()
    count = counter(model, SHAPE)
    total = sum(count[""].values()) if isinstance(count, dict) else count
    assert total == 6 * 120 + 5 * 240


def test_mobilenetv2_is_counted_as_published() -> None:
    spec = NetworkSpec.load(GOLDEN / "mobilenetv2.yaml")
    model = build(spec, seed=0)
    counts = fvcore_operators(model, spec.input)[""]
    assert counts["conv"] + counts["linear"] == 300_774_272
    assert fvcore_total(model, spec.input) == sum(counts.values())
    # These tools print 314.2 M and 327.5 M for torchvision's; that one pools by a function, which thop does not see.
    assert round(fvcore_total(model, spec.input) / 1e6, 1) == 314.2
    assert round((thop_total(model, spec.input) - 1280 * 49 - 1280) / 1e6, 1) == 327.5
    assert fvcore_total(fold(model), spec.input) == 300_774_272 + 1280 * 49


def test_counters_need_no_values() -> None:
    spec = timm("mobilenetv2_100", size=64)
    model = build_network(spec, 0, pretrained=False)
    for counter in (fvcore_operators, thop_modules, torch_operators):
        assert counter(model, spec.input) == counter(without_values(spec), spec.input)
