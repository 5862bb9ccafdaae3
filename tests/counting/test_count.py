"""Counts of known networks, by every counter, with layers and differences that add up."""

from __future__ import annotations

from random import Random

import pytest
import torch
from helpers.models import (
    SHAPE,
    AttentionOverValues,
    Failing,
    ImageDependent,
    require_sums,
    timm,
    without_values,
)
from helpers.paths import GOLDEN
from helpers.specs import random_spec
from torch import nn
from torch.utils.flop_counter import flop_registry

from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.counting.trace import trace
from lightcnn.errors import InputError
from lightcnn.network import build
from lightcnn.profiling.profile import file_notes
from lightcnn.spec import NetworkSpec
from lightcnn.weights import weights_file

TORCH_COUNTS_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in flop_registry
"""True from torch 2.15 on."""


@pytest.mark.parametrize(("name", "macs"), [("mobilenetv2", 300_774_272), ("resnet18", 1_814_073_344)])
def test_known_networks_have_their_known_multiply_adds(name: str, macs: int) -> None:
    model = without_values(NetworkSpec.load(GOLDEN / f"{name}.yaml"))
    counts = count(model, (3, 224, 224))
    assert (counts.macs, counts.macs_as_given, counts.torch) == (macs, macs, 2 * macs)
    assert trace(model, (3, 224, 224), batch=4).macs == 4 * macs


def test_timms_mobilenetv2_is_the_same_network() -> None:
    model = without_values(timm("mobilenetv2_100"))
    counts = count(model, (3, 224, 224))
    assert (counts.macs, counts.unfolded) == (300_774_272, ())
    assert counts.params == counts.params_deployed + sum(
        m.num_features for m in model.modules() if "Norm" in type(m).__name__
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_count_of_a_spec_is_its_cost_by_every_counter(seed: int) -> None:
    spec = random_spec(Random(seed))
    model, expected = without_values(spec), cost(spec)
    counts = count(model, spec.input, file_notes(model))
    assert counts.weight_bytes == {"fp32": expected.weight_bytes_fp32, "int8": expected.weight_bytes_int8}
    assert (counts.params, counts.params_with_buffers, counts.params_deployed) == (
        expected.params, expected.params_with_buffers, expected.params_deployed,
    )  # fmt: skip
    assert counts.torch == 2 * expected.macs
    assert counts.unfolded == ()
    assert counts.file_bytes == len(weights_file(build(spec, 0), spec, stand_in=False))
    require_sums(counts)


@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_b0",
        "deit_tiny_patch16_224",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("resnetv2_50", "convnext_tiny")),
    ],
)
def test_other_networks_add_up_as_well(name: str) -> None:
    model = without_values(timm(name))
    counts = count(model, (3, 224, 224))
    require_sums(counts)
    assert (counts.fvcore, counts.thop) == (fvcore_total(model, (3, 224, 224)), thop_total(model, (3, 224, 224)))
    assert counts.torch == 2 * counts.macs
    assert counts.peak_activation_bytes == 4 * counts.peak_activations


def test_attention_that_torch_does_not_count_is_listed_with_the_reason() -> None:
    """With values, attention runs as the CPU's fused operator, which torch's counter does not know before 2.15."""
    counts = count(AttentionOverValues(), SHAPE)
    fused = "_scaled_dot_product_flash_attention_for_cpu"
    require_sums(counts)
    convolution, attention = 12 * 27 * 120, 2 * 4 * 4 * 360
    assert counts.macs == convolution + attention
    assert [(row.where, row.ours, row.theirs, row.reason) for row in counts.differences if row.counter == "torch"] == [
        ("convolution", convolution, 2 * convolution, "a multiplication and an addition count as two"),
        (fused, attention, 2 * attention, "a multiplication and an addition count as two")
        if TORCH_COUNTS_CPU_ATTENTION
        else (fused, attention, 0, "does not know it"),
    ]


def test_a_network_that_depends_on_its_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"depends on the values in its image \(_local_scalar_dense in its forward\)"):
        count(ImageDependent(), SHAPE)


@pytest.mark.parametrize(
    ("model", "reason"), [(Failing(), "ZeroDivisionError: after"), (nn.Linear(7, 2), "RuntimeError")]
)
def test_a_network_that_cannot_take_the_image_is_refused_in_one_line(model: nn.Module, reason: str) -> None:
    with pytest.raises(InputError, match=rf"cannot take an image of 3×12×10: {reason}") as error:
        count(model, SHAPE)
    assert "\n" not in str(error.value)
