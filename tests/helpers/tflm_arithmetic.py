"""The arithmetic of TensorFlow Lite Micro, number by number as in its C++ sources (gemmlowp/fixedpoint, common.h)."""

from __future__ import annotations


def c_divide(a: int, b: int) -> int:
    """The quotient as in C, rounded towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def doubling_high_multiply(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul of two int32."""
    if a == b == -(2**31):
        return 2**31 - 1
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    return c_divide(product + nudge, 2**31)


def shift_by_power(x: int, exponent: int) -> int:
    """RoundingDivideByPOT of an int32."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def multiply_by_quantized_multiplier(x: int, q: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with two roundings. Raises: OverflowError if the shifted number is not int32."""
    shifted = x << max(shift, 0)
    if not -(2**31) <= shifted < 2**31:
        raise OverflowError(f"{x} << {shift}")
    return shift_by_power(doubling_high_multiply(shifted, q), max(-shift, 0))
