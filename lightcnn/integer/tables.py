"""Tables that take the place of functions of one code or of one pixel, correctly rounded. No torch.

They are computed with fractions: values halfway between two codes occur, and floating point decides some of them
wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lightcnn.integer.network import Quantization
from lightcnn.program import Function

LOW, HIGH = -128, 127
"""The smallest and the largest code."""
SIGMOID = Quantization(1 / 256, LOW)
"""The quantization of the outputs of a sigmoid."""


def encode(number: Fraction | float, quantization: Quantization) -> int:
    """The code nearest to a number; halves are rounded away from zero, before the zero is added."""
    steps = Fraction(number) / Fraction(quantization.scale)
    rounded = math.floor(abs(steps) + Fraction(1, 2))
    return min(max((rounded if steps > 0 else -rounded) + quantization.zero, LOW), HIGH)


def decode(codes: NDArray[np.integer], quantization: Quantization) -> NDArray[np.float64]:
    """The numbers that codes mean."""
    return np.asarray((codes.astype(np.float64) - quantization.zero) * quantization.scale)


def activation_table(function: Function, before: Quantization, after: Quantization) -> NDArray[np.int8]:
    """int8 (256,): for each code from -128 to 127, quantized as `before`, the code of the function's value."""
    scale = Fraction(before.scale)
    values = (FUNCTIONS[function](scale * (code - before.zero)) for code in range(LOW, HIGH + 1))
    return np.array([encode(value, after) for value in values], np.int8)


def input_table(mean: Sequence[float], deviation: Sequence[float], after: Quantization) -> NDArray[np.int8]:
    """int8 (channels, 256): for each pixel from 0 to 255, the code of the normalised value."""
    return np.array(
        [
            [encode(normalised_pixel(pixel, *channel), after) for pixel in range(256)]
            for channel in zip(mean, deviation, strict=True)
        ],
        np.int8,
    )


def normalised_pixel(pixel: int, mean: float, deviation: float) -> Fraction:
    """The normalised value of a pixel from 0 to 255; mean and deviation are on the scale 0..1."""
    return (Fraction(pixel, 255) - Fraction(mean)) / Fraction(deviation)


def _clip(x: Fraction) -> Fraction:
    return min(max(x, Fraction(0)), Fraction(6))


def _sigmoid(x: Fraction) -> float:
    # The exponential of a positive number could overflow.
    small = math.exp(-abs(float(x)))
    return (1 if x >= 0 else small) / (1 + small)


def _gelu(x: Fraction) -> float:
    # erfc is exact for large negative x, where 1 + erf would be 0.
    return float(x) / 2 * math.erfc(-float(x) / math.sqrt(2))


FUNCTIONS: dict[Function, Callable[[Fraction], Fraction | float]] = {
    "none": lambda x: x,
    "relu": lambda x: max(x, Fraction(0)),
    "relu6": _clip,
    "silu": lambda x: float(x) * _sigmoid(x),
    "hardswish": lambda x: x * _clip(x + 3) / 6,
    "gelu": _gelu,
    "sigmoid": _sigmoid,
}
"""The functions of steps, to the precision of float64 or exactly."""
