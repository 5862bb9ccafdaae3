"""Every kind of block, every activation and every set of kernels: the C computes the codes of the NumPy reference."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.c_code import facts_of, needs_gcc, trace
from helpers.integer_networks import random_network, random_pixels
from helpers.quantized_networks import blurred_noise, quantized_network
from helpers.specs import ACTIVATIONS

from lightcnn import Recipe
from lightcnn.exporting.c import source_files
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import WINDOWED, plan_memory
from lightcnn.program import OPERATORS, program
from lightcnn.spec import NetworkSpec

COMBINATIONS = tuple(
    (excited, mean or excited, *others)
    for excited, mean, *others in product((False, True), repeat=6)
    if not (excited and mean)
)
"""For each set of kernels, whether it has `scale`, `mean`, `depthwise`, `maxpool`, `avgpool` and `add`.

`scale` needs `mean`; `input` and `conv` are in every network, and a head without `mean` has `maxpool`.
"""


def every_block(activation: str) -> NetworkSpec:
    """A small network with a block of every kind, all with that activation."""
    act = {"act": activation}
    strided = ({"kind": "conv", "width": 10, "stride": 2, **act}, {"kind": "conv", "width": 10, "act": "none"})
    stages: tuple[dict[str, Any], ...] = (
        {"kind": "conv", "width": 6, "stride": 2, **act},
        {"kind": "conv", "width": 6, "groups": 2, "kernel": 5, **act},
        {"kind": "separable", "width": 7, "inner": True, **act},
        {"kind": "pool", "op": "max", "kernel": 3, "stride": 2},
        {"kind": "mbconv", "width": 7, "expand": 2.0, "se": 0.25, **act},
        {"kind": "mbconv", "width": 9, "expand": 2.0, "kernel": 5, "stride": 2, **act},
        {"kind": "se", "ratio": 0.5},
        {"kind": "residual", "body": strided, "shortcut": "avgpool", **act},
        {"kind": "residual", "body": ({"kind": "separable", "width": 10, **act},), "act": "none"},
        {"kind": "pool", "op": "avg", "kernel": 2},
    )
    return NetworkSpec.model_validate(
        {"input": (3, 33, 30), "stages": stages, "classes": 4, "head": {"hidden": (5,), **act}}
    )


def combined(combination: tuple[bool, ...]) -> NetworkSpec:
    """A tiny network with that set of kernels."""
    scale, mean, depthwise, maxpool, avgpool, add = combination
    blocks: tuple[dict[str, Any], ...] = (
        {"kind": "conv", "width": 4},
        *([{"kind": "separable", "width": 5}] if depthwise else []),
        *([{"kind": "pool", "op": "max"}] if maxpool else []),
        *([{"kind": "se", "ratio": 0.5}] if scale else []),
        *([{"kind": "residual", "body": ({"kind": "conv", "width": 6},)}] if add else []),
        *([{"kind": "pool", "op": "avg"}] if avgpool else []),
    )
    head = {"pool": "avg" if mean else "max"}
    return NetworkSpec.model_validate({"input": (1, 9, 8), "stages": blocks, "classes": 3, "head": head})


def require_equal(folder: Path, network: IntegerNetwork, pixels: Any, *flags: str) -> None:
    """Compares all tensors that the C of a network computes with those of the reference."""
    facts = facts_of(network)
    tensors, _ = trace(folder, network, pixels, facts, flags) if flags else trace(folder, network, pixels, facts)
    expected = reference.tensors(network, pixels)
    for step, computed in zip(network.steps, tensors, strict=True):
        np.testing.assert_array_equal(computed, expected[step.step.output], step.step.name)


@needs_gcc
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_kind_of_block_with_every_activation(activation: str, tmp_path: Path) -> None:
    spec = every_block(activation)
    network = quantized_network(spec, seed=3)
    assert {step.step.operator for step in network.steps} == set(OPERATORS)
    assert {block.kind for block in spec.stages} == {"conv", "separable", "mbconv", "se", "pool", "residual"}
    pixels = blurred_noise(spec.input, 4, seed=5)
    assert len(np.unique(reference.run(network, pixels))) > 8
    require_equal(tmp_path, network, pixels)


@needs_gcc
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_set_of_kernels(combination: tuple[bool, ...], tmp_path: Path) -> None:
    network = random_network(program(combined(combination)), 1)
    used = {step.step.operator for step in network.steps} - {"input", "conv"}
    names = ("scale", "mean", "depthwise", "maxpool", "avgpool", "add")
    expected = {name for name, is_used in zip(names, combination, strict=True) if is_used}
    assert used == expected | (set() if "mean" in expected else {"maxpool"})
    require_equal(tmp_path, network, random_pixels(network.program, 2, 1), "-O0")


def test_the_networks_overlap_in_both_directions() -> None:
    overlaps = set()
    for steps in (program(combined(combination)) for combination in COMBINATIONS):
        offsets = plan_memory(steps).offsets
        for step in steps.steps:
            (start, end), (out_start, out_end) = (
                (offsets[tensor], offsets[tensor] + steps.elements(tensor)) for tensor in (step.inputs[0], step.output)
            )
            if out_start < end and start < out_end and step.operator in WINDOWED:
                overlaps.add((step.operator, out_start > start))
    assert {(name, backward) for name in ("conv", "maxpool", "avgpool") for backward in (True, False)} <= overlaps


@needs_gcc
def test_steps_in_the_wrong_direction_give_other_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = "layer->output > layer->input", "layer->output < layer->input"
    assert source_files.shipped("kernels.c").count(right) == 1
    shipped = source_files.shipped
    monkeypatch.setattr(source_files, "shipped", lambda name: shipped(name).replace(right, wrong))
    network = random_network(program(combined(COMBINATIONS[-1])), 1)
    with pytest.raises(AssertionError, match="Mismatched elements"):
        require_equal(tmp_path, network, random_pixels(network.program, 2, 1), "-O0")


@needs_gcc
def test_micrompoxnet(tmp_path: Path) -> None:
    """200 images take a minute: `tests/benchmarks/export.py` compares them."""
    spec = Recipe.load("micrompoxnet").network
    network = quantized_network(spec, seed=1, images=1)
    require_equal(tmp_path, network, blurred_noise(spec.input, 1, seed=2), "-O2")
