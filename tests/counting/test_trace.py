"""A trace records every operator: its multiply-adds equal the cost of a spec."""

from __future__ import annotations

from random import Random

import pytest
import torch
from helpers.models import (
    SHAPE,
    FunctionalCalls,
    ReadsOwnValue,
    without_values,
)
from helpers.specs import random_spec
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.counting.folding import fold_pairs, foldable_pairs
from lightcnn.counting.liveness import liveness, peak
from lightcnn.counting.trace import trace
from lightcnn.network import fold

TORCH_COUNTS_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in flop_registry
"""True from torch 2.15 on."""


@pytest.mark.parametrize("seed", [*range(25), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(25, 60))])
def test_a_traced_spec_costs_what_cost_computes(seed: int) -> None:
    spec = random_spec(Random(seed))
    model, expected = without_values(spec), cost(spec)
    given, deployed = trace(model, spec.input), trace(fold(model), spec.input)
    assert given.macs == deployed.macs == expected.macs
    assert peak(liveness(given)).elements == peak(liveness(deployed)).elements == expected.peak_activations
    folded = fold_pairs(model, foldable_pairs(model, given))
    assert [tuple(p.shape) for p in folded.parameters()] == [tuple(p.shape) for p in fold(model).parameters()]


def test_functions_and_repeated_modules_are_counted() -> None:
    model = FunctionalCalls()
    convolutions = 120 * 4 * 27 + 2 * 120 * 16 + 120 * 4 * 8
    attention = 2 * 2 * 2 * 60
    result = trace(model, SHAPE)
    assert result.macs == convolutions + attention + 2 * 60 * 7
    assert result.operators["convolution"] == convolutions
    assert count(model, SHAPE).torch == 2 * result.macs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *SHAPE))
    assert counter.get_total_flops() == 2 * (result.macs - (0 if TORCH_COUNTS_CPU_ATTENTION else attention))
    assert trace(model, SHAPE, batch=4).macs == 4 * result.macs
    rows = {row.name: row for row in count(model, SHAPE).layers}
    assert rows["shared"].macs == 2 * 120 * 16
    assert rows[""].macs == 120 * 4 * 27 + attention + 2 * 60 * 7
    assert rows[""].params == 4 * 27


def test_a_network_that_reads_its_own_values_is_traced_with_values() -> None:
    assert trace(ReadsOwnValue(), SHAPE).macs == 3 * 9 * 120


def test_operators_that_are_not_counted_are_listed() -> None:
    result = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()), SHAPE)
    assert set(result.operators) == {"convolution"}
    assert sum(result.uncounted.values()) == 2
    assert result.uncounted["relu"] == 1
