"""What a method says of one image, and what every method is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.explaining.explained_network import ExplainedNetwork


@dataclass(frozen=True, eq=False)
class Attribution:
    """A map (H, W) in float32 of the network's input, signed: above 0 speaks for the class, below 0 against it.

    `facts` is what the method knows of its own faithfulness, numbers and words for report.json; `notes` are sentences
    that must stand beside the map. `segments` (H, W) are LIME's superpixels, numbered from 0.
    """

    method: str
    map: NDArray[np.float32]
    layer: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    segments: NDArray[np.int64] | None = None


class Method(Protocol):
    """A way of explaining, with its settings: a frozen dataclass that is called with one image (1, C, H, W)."""

    @property
    def name(self) -> str:
        """As in `--method`."""

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The map of a class, numbered as the classes are. The same call gives the same map to the last digit."""
