"""Every table is the exact function, correctly rounded; the exact values are computed here with 60 decimal digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch

from lightcnn.blocks import activation
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.integer import tables
from lightcnn.integer.network import Quantization
from lightcnn.program import Function

DIGITS = 60
CODES = range(-128, 128)


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def gelu(x: Decimal) -> Decimal:
    """x / 2 × (1 + erf(x / √2)), with the series of erf, whose terms grow to e^(x²/2) before they vanish."""
    z = x / Decimal(2).sqrt()
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")
    term, total, n = z, z, 0
    while abs(term) > Decimal(10) ** -DIGITS:
        n += 1
        term = -term * z * z / n
        total += term / (2 * n + 1)
    return x / 2 * (1 + 2 / pi.sqrt() * total)


EXACT: dict[Function, Callable[[Decimal], Decimal]] = {
    "none": lambda x: x,
    "relu": lambda x: max(x, Decimal(0)),
    "relu6": lambda x: min(max(x, Decimal(0)), Decimal(6)),
    "silu": lambda x: x * sigmoid(x),
    "hardswish": lambda x: x * min(max(x + 3, Decimal(0)), Decimal(6)) / 6,
    "gelu": gelu,
    "sigmoid": sigmoid,
}
BEFORE = [Quantization(0.0375, 7), Quantization(2.0**-6, -128), Quantization(0.09, 0), Quantization(1e-4, 127)]


def test_every_function_is_tested() -> None:
    assert set(tables.FUNCTIONS) == set(EXACT)


@pytest.mark.parametrize("before", BEFORE, ids=str)
@pytest.mark.parametrize("function", EXACT)
def test_all_256_codes_of_a_function_are_correctly_rounded(function: Function, before: Quantization) -> None:
    values = [float(tables.FUNCTIONS[function](Fraction(before.scale) * (code - before.zero))) for code in CODES]
    scale = max((max(values) - min(values)) / 255, 1e-6)
    after = tables.SIGMOID if function == "sigmoid" else Quantization(scale, round(-128 - min(values) / scale))
    table = tables.activation_table(function, before, after)
    assert table.dtype == np.int8 and table.shape == (256,)
    with localcontext(prec=2 * DIGITS):
        for code, result in zip(CODES, table.tolist(), strict=True):
            steps = EXACT[function](Decimal(before.scale) * (code - before.zero)) / Decimal(after.scale)
            rounded = int(steps.quantize(Decimal(1), ROUND_HALF_UP)) + after.zero
            assert result == min(max(rounded, -128), 127), code


@pytest.mark.parametrize("function", ["silu", "relu", "relu6", "hardswish", "gelu", "none"])
def test_functions_are_those_of_the_blocks(function: Function) -> None:
    x = torch.linspace(-9, 9, 1001, dtype=torch.float64)
    values = [float(tables.FUNCTIONS[function](Fraction(each))) for each in x.tolist()]
    assert np.allclose(values, activation(function)(x).numpy(), atol=1e-12)


def test_functions_of_large_numbers_have_no_overflow() -> None:
    for function in tables.FUNCTIONS.values():
        assert all(math.isfinite(function(Fraction(x))) for x in (-1e30, -1e4, 1e4, 1e30))


def test_halves_are_rounded_away_from_zero() -> None:
    numbers = (0.5, 1.5, 2.5, -0.5, -1.5, 200.0, -200.0)
    assert [tables.encode(each, Quantization(1.0, 10)) for each in numbers] == [11, 12, 13, 9, 8, 127, -128]


def test_codes_stand_for_the_numbers_that_they_encode() -> None:
    quantization = Quantization(0.31, -77)
    numbers = tables.decode(np.arange(-128, 128), quantization)
    assert [tables.encode(number, quantization) for number in numbers.tolist()] == list(CODES)


def test_the_table_of_the_input_has_the_normalised_values_of_the_pixels() -> None:
    preprocess = Preprocess(
        size=16, channels=3, shorter_side=16, mean=(0.1, 0.5, 0.9), deviation=(0.2, 0.3, 0.4), classes=("a", "b")
    )
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    expected = normalise(pixels, preprocess).numpy()[0].reshape(3, 256)
    after = Quantization(0.03, 5)
    table = tables.input_table(preprocess.mean, preprocess.deviation, after)
    for channel, (mean, deviation) in enumerate(zip(preprocess.mean, preprocess.deviation, strict=True)):
        values = [tables.normalised_pixel(pixel, mean, deviation) for pixel in range(256)]
        assert np.allclose(np.array(values, float), expected[channel], atol=1e-5)
        assert table[channel].tolist() == [tables.encode(value, after) for value in values]
