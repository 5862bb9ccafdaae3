"""A quantized network as data: for every step of its program the integers that the generated C contains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.program import Program, Step


@dataclass(frozen=True)
class Quantization:
    """What numbers codes mean: the number is `scale` × (code - `zero`); codes are -128..127."""

    scale: float
    zero: int


@dataclass(frozen=True, eq=False)
class IntegerStep:
    """The integers of a step.

    Args:
        step: The step of the program.
        weights: int8 (out, in / groups, rows, columns) of a convolution, with zero 0; empty for other operators.
        bias: int32 (out,) of a convolution, added to its sums; empty for other operators.
        multipliers: int32, of 31 bits. One per output channel of a convolution, one of `mean` and `scale`, three of
            `add` (first operand, second operand, output); empty for other operators.
        shifts: int8, one for each multiplier: a number is multiplied by multiplier × 2^(shift - 31).
        zeros: The zeros of the input tensors.
        zero: The zero of the output, before the table if there is one.
        low: Smallest code of the output, before the table.
        high: Largest code of the output, before the table.
        table: int8 (256,): the code of the output for each code from -128 to 127; for `input` (channels, 256): the code
            for each pixel from 0 to 255. Empty if the step has no table.
        scale: The scale of the output, before the table if there is one; for other formats, since C needs none.
    """

    step: Step
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multipliers: NDArray[np.int32]
    shifts: NDArray[np.int8]
    zeros: tuple[int, ...]
    zero: int
    low: int
    high: int
    table: NDArray[np.int8]
    scale: float


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A quantized program. `quantizations` are those of its tensors by number; that of the pixels is not used."""

    program: Program
    steps: tuple[IntegerStep, ...]
    quantizations: tuple[Quantization, ...]

    @property
    def logits(self) -> Quantization:
        """What logits the codes of the last step mean."""
        return self.quantizations[self.program.output]
