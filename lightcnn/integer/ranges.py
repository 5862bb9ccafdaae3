"""From the range of numbers to the quantization of a tensor. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lightcnn.integer.network import Quantization
from lightcnn.integer.tables import FUNCTIONS, HIGH, LOW, encode
from lightcnn.program import Function

MIN_SCALE = 2.0**-100
"""Smallest scale: products and quotients of scales are then normal numbers of float64."""
TRIM_POINTS = 512
"""Points of a range at which the code of a function is compared with that at its ends."""
Range = tuple[float, float]


@dataclass(frozen=True)
class StepRange:
    """The smallest and the largest output of a step, before and after its function."""

    before: Range
    after: Range


def float32(number: float) -> float:
    """The nearest number of float32."""
    return float(np.float32(number))


def quantization(extent: Range, min_scale: float = MIN_SCALE) -> Quantization:
    """The quantization whose 256 codes cover a range and zero; the number 0 has a code of its own.

    A range that is empty, such as that of a channel without any output, becomes -1..1.
    """
    low, high = min(extent[0], 0.0), max(extent[1], 0.0)
    if low == high:
        low, high = -1.0, 1.0
    scale = float32(max((high - low) / (HIGH - LOW), min_scale))
    return Quantization(scale, min(max(math.floor(LOW - low / scale + 0.5), LOW), HIGH))


def trim(function: Function, extent: Range, after: Quantization) -> Range:
    """The part of a range in which the code of a function changes: beyond it, codes would all be wasted.

    The SiLU of -12, for example, has the code of 0.
    """
    points = np.linspace(*extent, TRIM_POINTS).tolist()
    codes = [encode(FUNCTIONS[function](Fraction(point)), after) for point in points]
    first = next((index for index, code in enumerate(codes) if code != codes[0]), 1)
    last = next((index for index, code in reversed(list(enumerate(codes))) if code != codes[-1]), len(codes) - 2)
    return points[first - 1], points[last + 1]
