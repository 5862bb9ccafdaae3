"""What an explanation method is, and what it returns for one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Attribution:
    """A signed map (H, W), float32, at the size of the network's input.

    Values above 0 support the class, values below 0 oppose it. `facts` are numbers and words for report.json with which
    the method measures itself; `notes` are sentences that must be shown next to the map. `segments` (H, W) are LIME's
    superpixels, numbered from 0.
    """

    method: str
    map: NDArray[np.float32]
    layer: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    segments: NDArray[np.int64] | None = None


class Method(Protocol):
    """An explanation method with its options: a frozen dataclass that is called with one image (1, C, H, W)."""

    @property
    def name(self) -> str:
        """The method's name, as in `--method`."""

    def __call__(self, explained: Any, inputs: Any, target: int) -> Attribution:
        """The map of the class with index `target`. Equal calls return equal maps.

        A method that needs predictions only takes an `Explained`, all others an `ExplainedNetwork`.
        """
