"""Measures a shape with other widths, quickly: what a part costs depends on its input and its own width only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.budget import Budget, Cost
from lightcnn.cost import Meter, measure, measure_head
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

Widths = dict[str, int]
"""The width of the stem and of each stage, by the name of its gene."""


class WidthMeter:
    """The network of a shape, whose widths can be changed until it is taken by `network`.

    It is validated once and changed in place from then on. Parts that were measured before are remembered, because most
    steps of a fit change a single width.

    Raises: ValidationError if the shape is not a valid network; its widths do not matter for that.
    """

    def __init__(self, space: SearchSpace, budget: Budget, shape: Mapping[str, Any]) -> None:
        self._budget = budget
        self._network, parts = space.spec_with_parts(shape)
        self._parts = [(f"{part.path}.width", part) for part in parts]
        self._measured: dict[Any, Meter] = {}

    def use(self, widths: Widths) -> float:
        """The share of its tightest limit that the network uses with those widths."""
        return self._budget.used_share(self._cost(widths))

    def network(self, widths: Widths) -> NetworkSpec:
        """The network with those widths. The meter must not be used after it."""
        for name, part in self._parts:
            if name in widths:
                part.unit.__dict__["width"] = widths[name]
        return self._network

    def _cost(self, widths: Widths) -> Cost:
        whole, measured = Meter(self._network.input), self._measured
        for name, part in self._parts:
            width = widths.get(name)
            key = (name, width, whole.channels)  # height and width of the input are those of the shape
            if key not in measured:
                if width is not None:
                    part.unit.__dict__["width"] = width  # frozen for everyone else; validating would take 3/4 of a fit
                measured[key] = measure(part.blocks, whole.shape)
            whole.add(measured[key])
        if whole.channels not in measured:
            measured[whole.channels] = measure_head(self._network, whole.shape)
        whole.add(measured[whole.channels])
        return whole.total()
