"""The arithmetic equals TensorFlow Lite Micro's, written here number by number with the rules of C."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from helpers.tflm_arithmetic import c_divide, doubling_high_multiply, multiply_by_quantized_multiplier, shift_by_power

from lightcnn.integer import arithmetic

RANDOM = Random(4)
LARGE = 2**31 - 1
NUMBERS = [0, 1, -1, 2, -2, 3, -3, LARGE, -LARGE, 2**30, -(2**30), 3 << 29, -(3 << 29)]
NUMBERS += [sign * RANDOM.getrandbits(bits) for bits in range(1, 32) for sign in (-1, 1) for _ in range(4)]
MULTIPLIERS = [0, 1, 2**30, 2**30 + 1, LARGE, *(RANDOM.randrange(2**30, 2**31) for _ in range(20))]


def test_high_multiplication_for_halves_and_large_numbers() -> None:
    numbers, q = np.array(NUMBERS), np.array(MULTIPLIERS)
    expected = [[doubling_high_multiply(number, each) for each in MULTIPLIERS] for number in NUMBERS]
    assert arithmetic.high_multiply(numbers[:, None], q).tolist() == expected


def test_shifts_round_halves_away_from_zero() -> None:
    numbers = np.array([*NUMBERS, *range(-40, 41)])
    for bits in range(32):
        expected = [shift_by_power(int(number), bits) for number in numbers]
        assert arithmetic.rounding_shift(numbers, bits).tolist() == expected
    assert arithmetic.rounding_shift(np.array([5, -5, 6, -6]), np.array([1, 1, 2, 2])).tolist() == [3, -3, 2, -2]


def test_rescaling_with_shifts_in_both_directions() -> None:
    shifts = list(range(-31, 12))
    numbers = np.array([number for number in NUMBERS if abs(number) < 2**19])
    for q in MULTIPLIERS:
        expected = [[multiply_by_quantized_multiplier(int(n), q, shift) for shift in shifts] for n in numbers]
        result = arithmetic.rescale(numbers[:, None], np.int32(q), np.array(shifts, np.int8))
        assert result.tolist() == expected


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.75, 1 / 3, 3.7e-5, 2.0**-31, 17.3, 1 - 2**-40, 2.0**29])
def test_a_multiplier_is_the_factor_to_31_bits(factor: float) -> None:
    q, shift = arithmetic.multiplier(factor)
    assert 2**30 <= q < 2**31
    assert abs(Fraction(q) * Fraction(2) ** (shift - 31) / Fraction(factor) - 1) <= Fraction(1, 2**31)


def test_factors_out_of_range_have_the_nearest_multiplier() -> None:
    assert arithmetic.multiplier(0.0) == (0, 0)
    assert arithmetic.multiplier(2.0**-40) == (0, 0)
    assert arithmetic.multiplier(2.0**40) == (LARGE, 30)
    assert arithmetic.multiplier(1 - 2**-33) == (2**30, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 49, 784, 2**20 + 1])
def test_the_multiplier_of_a_mean_is_divided_in_integers(count: int) -> None:
    q, shift = arithmetic.multiplier(0.83)
    bits = count.bit_length() - 1
    assert arithmetic.mean_multiplier(0.83, count) == ((q << bits) // count, shift - bits)
    smallest = arithmetic.mean_multiplier(2.0**-25, 2**20)
    assert smallest == (2**30 * 2**7 // 2**20, -31), "the shift is never below -31"


def test_division_rounds_halves_away_from_zero() -> None:
    for count in (1, 2, 3, 4, 6, 9):
        numbers = np.arange(-60, 61)
        expected = [c_divide(n + count // 2 if n > 0 else n - count // 2, count) for n in numbers.tolist()]
        assert arithmetic.rounding_divide(numbers, count).tolist() == expected
