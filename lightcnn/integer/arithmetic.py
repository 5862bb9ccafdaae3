"""The integer arithmetic of a rescaling, exactly as in TensorFlow Lite Micro and in the generated C. No torch.

A real factor is a multiplier q of 31 bits and a shift: factor = q × 2^(shift - 31). A number is shifted left if the
shift is positive, multiplied by q × 2^-31 (halves are rounded up), and shifted right if it is negative (halves are
rounded away from zero). All functions take arrays of integers and compute in int64; the results fit into int32 for the
networks that `quantize` makes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ADD_SHIFT = 20
"""Bits by which an addition shifts its operands left before it rescales them."""
_MAX_SHIFT = 30
_MIN_SHIFT = -31

Integers = NDArray[np.int64]


def multiplier(factor: float) -> tuple[int, int]:
    """The multiplier q and the shift of a factor >= 0: q is 0, or has 31 bits; the shift is -31..30.

    Smaller factors give q = 0, larger ones the largest factor.
    """
    fraction, shift = math.frexp(factor)
    q = math.floor(fraction * 2**31 + 0.5)
    if q == 2**31:
        q, shift = q // 2, shift + 1
    if shift < _MIN_SHIFT:
        return 0, 0
    return (2**31 - 1, _MAX_SHIFT) if shift > _MAX_SHIFT else (q, shift)


def mean_multiplier(factor: float, count: int) -> tuple[int, int]:
    """The multiplier and the shift of `factor` / `count`, divided in integers."""
    q, shift = multiplier(factor)
    bits = min(count.bit_length() - 1, shift - _MIN_SHIFT)
    return (q << bits) // count, shift - bits


def high_multiply(numbers: Integers, q: Any) -> Integers:
    """numbers × q × 2^-31, with halves rounded up; q >= 0."""
    return np.asarray((numbers * q + (1 << 30)) >> 31)


def rounding_shift(numbers: Integers, bits: Any) -> Integers:
    """numbers × 2^-bits, with halves rounded away from zero; bits >= 0."""
    half = (np.int64(1) << np.asarray(bits, np.int64)) >> 1
    return np.asarray((numbers + half - ((numbers < 0) & (half > 0))) >> bits)


def rescale(numbers: Integers, multipliers: Any, shifts: Any) -> Integers:
    """numbers × multiplier × 2^(shift - 31), in two roundings; `multipliers` and `shifts` are broadcast to numbers."""
    left = np.maximum(np.asarray(shifts, np.int64), 0)
    right = np.maximum(-np.asarray(shifts, np.int64), 0)
    return rounding_shift(high_multiply(numbers << left, np.asarray(multipliers, np.int64)), right)


def rounding_divide(numbers: Integers, counts: Any) -> Integers:
    """numbers / counts, with halves rounded away from zero; counts > 0."""
    return np.asarray(np.sign(numbers) * ((np.abs(numbers) + np.asarray(counts, np.int64) // 2) // counts))
