"""The scale of intensities: which value becomes white in files with more than 8 bits per channel.

A file does not state it: a camera of 12 bits writes values up to 4095 into a file of 16 bits. One scale therefore
serves a whole data set, and later every image that its networks read. No pydantic: exported files are read without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

INTEGER_SCALES = (255, 1023, 4095, 16383, 65535)
"""The largest values of 8, 10, 12, 14 and 16 bits."""
FLOAT_SCALES = (1, 255)
Number = Literal["integers", "floats"]
"""What a file with more than 8 bits per channel stores."""


@dataclass(frozen=True)
class IntensityScale:
    """The value that becomes white in files of integers (16 or 32 bits) and in files of floats.

    None: no training image was such a file, so that each such file has its own scale. Files of 8 bits need no scale.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}
    integers: Literal[255, 1023, 4095, 16383, 65535] | None = None
    floats: Literal[1, 255] | None = None

    def __post_init__(self) -> None:
        """Raises: ValueError for a scale that does not exist."""
        for name, scales in (("integers", INTEGER_SCALES), ("floats", FLOAT_SCALES)):
            value = getattr(self, name)
            if value is not None and value not in scales:
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(str, scales))}")

    @classmethod
    def covering(cls, values: Iterable[tuple[Number, float]]) -> IntensityScale:
        """The smallest scale that is not below any of these largest values of files."""
        largest: dict[Number, float] = {}
        for number, value in values:
            largest[number] = max(value, largest.get(number, 0))
        return cls(**{number: smallest_scale(number, value) for number, value in largest.items()})  # type: ignore[arg-type]

    def agrees(self, other: IntensityScale | None) -> bool:
        """Whether `other`, or the earlier rule if None, scales files of the kinds that have a scale here equally."""
        integers, floats = (65_535, None) if other is None else (other.integers, other.floats)
        return self.integers in (None, integers) and self.floats in (None, floats)

    def white(self, number: Number, largest: float) -> int:
        """The value that becomes white in a file with this largest value."""
        return getattr(self, number) or smallest_scale(number, largest)


OWN_SCALE = IntensityScale()
"""Each file has its own scale."""


def smallest_scale(number: Number, largest: float) -> int:
    """The smallest scale that is not below `largest`, which is at most the largest of them."""
    return next(scale for scale in (INTEGER_SCALES if number == "integers" else FLOAT_SCALES) if largest <= scale)


def to_eight_bits(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Values of any shape, uint16 or float, scaled so that `white` becomes 255; values above it are clipped."""
    if values.dtype == np.uint16:  # a table needs one byte per value, arithmetic sixteen
        table = _scaled(np.arange(65_536), white)
        return np.asarray(table[values])
    return _scaled(values, white)


def _scaled(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.minimum(values, white).astype(np.float64) * 255 / white), dtype=np.uint8)
