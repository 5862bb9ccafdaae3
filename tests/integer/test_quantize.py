"""Quantized networks: close to the network in float, and exact for weights and ranges that are unusual."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from helpers.specs import random_spec, randomised
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.errors import InputError
from lightcnn.integer import reference
from lightcnn.integer.calibration import measure_means, measure_ranges, run_program
from lightcnn.integer.network import IntegerNetwork, Quantization
from lightcnn.integer.post_training import quantize_network
from lightcnn.integer.quantize import quantize
from lightcnn.integer.ranges import StepRange, quantization, trim
from lightcnn.integer.tables import decode
from lightcnn.memory_plan import byte_count, needs_table, word_count
from lightcnn.network import build, fold
from lightcnn.program import Program, program
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec, PoolBlock, ResidualBlock

SEEDS = range(30)
State = dict[str, Tensor]


def preprocess(channels: int = 1) -> Preprocess:
    """Images of three or one channels, normalised by usual numbers. The size is that of the images that are given."""
    return Preprocess(
        size=8, channels=3 if channels == 3 else 1, shorter_side=8, classes=("a", "b"),
        mean=(0.4, 0.5, 0.3)[: 3 if channels == 3 else 1], deviation=(0.2, 0.3, 0.25)[: 3 if channels == 3 else 1],
    )  # fmt: skip


def trained(network: NetworkSpec, seed: int = 0) -> tuple[Program, State, Tensor]:
    """The program of a network, weights as after a training, and images uint8 (N, C, H, W)."""
    state = fold(randomised(build(network, seed=seed))).state_dict()
    random = torch.Generator().manual_seed(seed)
    return program(network), state, torch.randint(0, 256, (24, *network.input), dtype=torch.uint8, generator=random)


def codes(network: IntegerNetwork, images: Tensor) -> NDArray[np.int8]:
    return reference.run(network, images.movedim(1, 3).contiguous().numpy())


def random_network(seed: int) -> NetworkSpec:
    """A random network of images with three channels or one."""
    while (network := random_spec(Random(seed))).input[0] not in (1, 3):
        seed += 1000
    return network


@pytest.mark.parametrize("seed", SEEDS)
def test_logits_are_close_to_those_in_float(seed: int) -> None:
    lowered, state, images = trained(random_network(seed), seed)
    settings = preprocess(images.shape[1])
    quantized = quantize_network(lowered, state, images, settings)
    with torch.inference_mode():
        expected = run_program(lowered, state, normalise(images, settings)).numpy()
    logits = decode(codes(quantized, images), quantized.logits)
    error, spread = np.abs(logits - expected).mean(), np.ptp(expected)
    assert error < 0.1 * spread + quantized.logits.scale


@pytest.mark.parametrize("seed", SEEDS)
def test_integers_have_their_types_bounds_and_the_counted_bytes(seed: int) -> None:
    lowered, state, images = trained(random_network(seed), seed)
    quantized = quantize_network(lowered, state, images, preprocess(images.shape[1]))
    words = sum(step.bias.size + step.multipliers.size for step in quantized.steps)
    small = sum(step.weights.size + step.shifts.size + step.table.size for step in quantized.steps)
    assert (words, small) == (word_count(lowered), byte_count(lowered))
    for step in quantized.steps:
        assert (step.weights.dtype, step.shifts.dtype, step.table.dtype) == (np.int8, np.int8, np.int8)
        assert (step.bias.dtype, step.multipliers.dtype) == (np.int32, np.int32)
        assert step.weights.size == 0 or step.weights.min() >= -127
        assert -128 <= step.low <= step.high <= 127
        assert step.zeros == tuple(quantized.quantizations[each].zero for each in step.step.inputs) or not step.zero
        assert (step.table.size > 0) == (needs_table(step.step) or step.step.operator == "input")
        _require_no_overflow(step)
    assert all(np.float32(each.scale) == each.scale for each in quantized.quantizations)


def _require_no_overflow(step: Any) -> None:
    """Sums, and sums shifted left, are in int32 for any input."""
    if step.weights.size:
        largest = 255 * np.abs(step.weights.astype(np.int64)).sum((1, 2, 3)) + np.abs(step.bias.astype(np.int64))
        assert (largest << np.maximum(step.shifts.astype(np.int64), 0) < 2**31).all()


def two_steps(act: Any = "none", **changes: Any) -> tuple[Program, State, Tensor]:
    """A convolution, and a classifier; `changes` replace weights."""
    blocks = (ConvBlock(width=3, kernel=1, norm=False, act=act),)
    lowered, state, images = trained(NetworkSpec(input=(1, 4, 4), stages=blocks, classes=2))
    renamed = {name.replace("__", "."): torch.tensor(value) for name, value in changes.items()}
    return lowered, {name: renamed.get(name, value).reshape(value.shape) for name, value in state.items()}, images


WEIGHT, BIAS = "stages__0__0__conv__weight", "stages__0__0__conv__bias"


@pytest.mark.parametrize(
    "changes",
    [
        {WEIGHT: [0.0, 0.0, 0.0], BIAS: [0.0, 0.0, 0.0]},
        {WEIGHT: [0.0, 1.0, 0.0], BIAS: [5.0, 0.0, 0.0]},
        {WEIGHT: [1e-30, 1e-30, 1e-25], BIAS: [0.0, 0.0, 0.0]},
        {WEIGHT: [1e-30, 1.0, 1e-8], BIAS: [1.0, -1.0, 3.0]},
        {WEIGHT: [1e8, -3e9, 1e8], BIAS: [0.0, 1e12, 3.0]},
        {WEIGHT: [1e-6, 1e-6, 1e-6], BIAS: [10.0, 10.0, 10.0]},
        {"head__classifier__weight": [0.0] * 6, "head__classifier__bias": [0.0, 0.0]},
        {"head__classifier__weight": [0.0] * 6, "head__classifier__bias": [-2.0, 3.0]},
    ],
)
@pytest.mark.parametrize("act", ["none", "relu", "relu6", "silu", "gelu"])
def test_weights_that_are_zero_tiny_or_huge(act: str, changes: dict[str, list[float]]) -> None:
    lowered, state, images = two_steps(act, **changes)
    quantized = quantize_network(lowered, state, images, preprocess())
    for step in quantized.steps:
        _require_no_overflow(step)
    with torch.inference_mode():
        expected = run_program(lowered, state, normalise(images, preprocess())).numpy()
    logits = decode(codes(quantized, images), quantized.logits)
    assert np.abs(logits - expected).max() <= 0.05 * np.abs(expected).max() + 1e-6


def test_a_pixel_of_a_strided_image_and_many_channels_of_pools() -> None:
    blocks = (
        *(ConvBlock(width=4, stride=2, act="relu") for _ in range(4)),
        ResidualBlock(body=(ConvBlock(width=4, stride=2),), shortcut="avgpool"),
        PoolBlock(kernel=3, stride=2, op="avg"),
    )
    lowered, state, images = trained(NetworkSpec(input=(3, 5, 3), stages=blocks, head=HeadSpec(pool="max"), classes=3))
    assert codes(quantize_network(lowered, state, images, preprocess(3)), images).shape == (24, 3)


def test_numbers_that_are_not_finite_are_refused() -> None:
    lowered, state, images = two_steps(**{WEIGHT: [1.0, float("nan"), 2.0]})
    with pytest.raises(InputError, match=r"stages\.0\.0 has weights or outputs that are not finite"):
        quantize_network(lowered, state, images, preprocess())


def test_sums_beyond_int32_are_refused() -> None:
    blocks = (ConvBlock(width=16384, kernel=1), ConvBlock(width=1, kernel=3))
    lowered = program(NetworkSpec(input=(1, 1, 1), stages=blocks, classes=2))
    state = {
        f"{step.weights}.weight": np.ones(lowered.weight_shape(step), np.float32)
        for step in lowered.steps
        if step.weights
    }
    ranges = [StepRange((-1.0, 1.0), (-1.0, 1.0))] * len(lowered.steps)
    with pytest.raises(InputError, match=r"sums of stages\.1\.0 can be 2,\d+,\d+,\d+, which exceeds int32"):
        quantize(lowered, state, ranges=ranges, mean=(0.5,), deviation=(0.3,))


def test_no_images_are_refused() -> None:
    lowered, state, images = two_steps()
    with pytest.raises(InputError, match="no training images"):
        quantize_network(lowered, state, images[:0], preprocess())


def test_means_and_ranges_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered, state, images = trained(random_network(3), 3)
    settings = preprocess(images.shape[1])
    ranges, means = (measure(lowered, state, images, settings) for measure in (measure_ranges, measure_means))
    monkeypatch.setattr("lightcnn.integer.calibration.BATCH_ELEMENTS", 1)
    for first, second in zip(ranges, measure_ranges(lowered, state, images, settings), strict=True):
        assert np.allclose([first.before, first.after], [second.before, second.after], rtol=1e-4, atol=1e-5)
    for first, second in zip(means, measure_means(lowered, state, images, settings), strict=True):
        assert np.allclose(first, second, rtol=1e-4, atol=1e-5)


def test_corrected_biases_bring_means_closer_to_those_in_float() -> None:
    blocks = tuple(ConvBlock(width=12, act="relu6") for _ in range(3))
    lowered, state, images = trained(NetworkSpec(input=(1, 9, 9), stages=blocks, classes=4))
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    ranges = measure_ranges(lowered, state, images, preprocess())
    plain = quantize(lowered, arrays, ranges=ranges, mean=preprocess().mean, deviation=preprocess().deviation)
    corrected = quantize_network(lowered, state, images, preprocess())
    with torch.inference_mode():
        expected = run_program(lowered, state, normalise(images, preprocess())).numpy().mean(0)
    errors = [np.abs(decode(codes(each, images), each.logits).mean(0) - expected).sum() for each in (plain, corrected)]
    assert errors[1] < 0.7 * errors[0]


def test_a_range_covers_zero_which_has_a_code_of_its_own() -> None:
    for low, high in ((-1.0, 3.0), (2.0, 3.0), (-3.0, -2.0), (0.0, 0.0), (0.0, 6.0), (-1e-38, 1e-38)):
        result = quantization((low, high))
        assert -128 <= result.zero <= 127 and result.scale > 0
        numbers = decode(np.array([-128, 127]), result)
        assert numbers[0] <= min(low, 0) + 0.51 * result.scale and numbers[1] >= max(high, 0) - 0.51 * result.scale


def test_a_range_is_trimmed_to_where_codes_change() -> None:
    after = Quantization(6 / 255, -128)
    low, high = trim("silu", (-40.0, 6.0), quantization((-0.3, 6.0)))
    assert -8 < low < -4 and high == 6.0
    low, high = trim("hardswish", (-10.0, 5.0), after)
    assert -0.1 < low < 0.1 and high == 5.0
    low, high = trim("sigmoid", (-50.0, 50.0), Quantization(1 / 256, -128))
    assert -7 < low < -6 and 5 < high < 6
    assert trim("silu", (1.0, 1.0), after) == (1.0, 1.0)
