"""Solves the widths of a shape for a share of a budget: reach it, multiply all widths, fill what is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lightcnn.budget import Budget
from lightcnn.latency_model import LatencyModel
from lightcnn.searching.widths.meter import WidthMeter, Widths
from lightcnn.searching.widths.program_meter import ProgramWidthMeter
from lightcnn.space import SearchSpace, Shape
from lightcnn.spec import NetworkSpec

MIN_FILL = 0.9
"""Depths and size step up while the widest network uses less than this part of the share that is solved for."""
PRECISION, MAX_STEPS = 1.03, 24
"""The factor for all widths is solved for up to this ratio; single widths are stepped up from there."""
EXPONENT = 0.5
"""The first guess of the power of a share by which widths change it; 0.5 took the fewest steps of 0.5 to 0.85."""
MAX_USE = 1e6
"""A use above this, or of a network that no limit admits, counts as this."""
MAX_FACTOR = 2.0**14
"""The factor that makes every width the widest of its stage."""


class WidthSolver:
    """Solves the widths of the shapes of one space under one budget."""

    def __init__(self, space: SearchSpace, budget: Budget, latencies: Sequence[LatencyModel] = ()) -> None:
        self._space, self._budget = space, budget
        self._widths = {f"{p}.width": s.width for p, s in space.stages_by_path() if s.width.low < s.width.high}
        self._latencies = latencies
        self._ladder = {g.name: g.options for g in space.genes() if g.name.endswith(".depth") or g.name == "size"}

    def solve(self, shape: Mapping[str, Any], share: float) -> tuple[Shape, NetworkSpec] | None:
        """The shape that uses at most `share` of each upper limit, as much as its widths can, and its network.

        Depths, and then the input size, step down while the narrowest network uses more, and up while the widest uses
        less than `MIN_FILL` of it. One factor for all widths is then solved for, and single widths step up until no
        further step fits. None if that is not a valid network. If even the narrowest network uses more, it is returned.
        """
        shape = dict(shape)
        try:
            network = self._reach(shape, share)
        except ValidationError:
            return None
        widths = self._scaled(shape, self._multiplier(network, shape, share))
        widths = self._fill(network, widths, shape, share)
        return shape | widths, network.network(widths)

    def _meter(self, shape: Shape) -> WidthMeter:
        """What measures the shape with other widths. Raises: ValidationError if it is not a valid network."""
        if self._latencies or self._budget.limits_device:
            return ProgramWidthMeter(self._space, self._budget, shape, self._latencies)
        return WidthMeter(self._space, self._budget, shape)

    def _scaled(self, shape: Mapping[str, Any], factor: float) -> Widths:
        """The widths of a shape, multiplied by `factor` and rounded to their steps."""
        return {name: width.nearest(factor * shape[name]) for name, width in self._widths.items()}

    def _reach(self, shape: Shape, share: float) -> WidthMeter:
        """Steps depths, and then the input size, to where widths can use the share and not more than it.

        Returns the meter of the shape as it then is. Raises: ValidationError if that is not a valid network.
        """
        network = self._meter(shape)
        while network.use(self._scaled(shape, 0)) > share and _step(shape, self._ladder, -1):
            network = self._meter(shape)
        while network.use(self._scaled(shape, math.inf)) < MIN_FILL * share and _step(shape, self._ladder, 1):
            network = self._meter(shape)
        return network

    def _multiplier(self, network: WidthMeter, shape: Mapping[str, Any], share: float) -> float:
        """A factor for all widths that uses at most `share`, within `PRECISION` of the largest such factor.

        Counts are about a power of the widths, so the next factor is interpolated between the logarithms of the bounds.
        """
        low, low_use, high, high_use, factor = 0.0, 0.0, math.inf, math.inf, 1.0
        for _ in range(MAX_STEPS):
            use = min(network.use(self._scaled(shape, factor)) / share, MAX_USE)
            if use <= 1:
                low, low_use = factor, use
            else:
                high, high_use = factor, use
            if high <= PRECISION * low or low >= MAX_FACTOR:
                break
            factor = _next_factor(low, low_use, high, high_use)
        return low

    def _fill(self, network: WidthMeter, widths: Widths, proportions: Mapping[str, Any], share: float) -> Widths:
        """Steps single widths up until no step fits, first the one furthest below its share in `proportions`."""
        growing = dict(self._widths)
        while growing:
            name = min(growing, key=lambda n: (widths[n] / proportions[n], n))
            wider = {**widths, name: widths[name] + growing[name].step}
            if wider[name] <= growing[name].high and network.use(wider) <= share:
                widths = wider
            else:
                del growing[name]
        return widths


def _next_factor(low: float, low_use: float, high: float, high_use: float) -> float:
    """The factor to try between `low`, which uses at most the share, and `high`, which uses more; one may be open.

    Near a bound it is `PRECISION` away from it, so that the interval closes if the root is that near.
    """
    if math.isinf(high):
        return float(min(MAX_FACTOR, low * max(PRECISION, max(low_use, 1 / MAX_USE) ** -EXPONENT)))
    if not low:
        return float(high / max(PRECISION, high_use**EXPONENT))
    low_use = max(low_use, 1 / MAX_USE)
    root = low * (high / low) ** (-math.log(low_use) / math.log(high_use / low_use))
    return float(min(max(root, low * PRECISION), high / PRECISION))


def _step(shape: Shape, ladder: Mapping[str, tuple[Any, ...]], sign: int) -> bool:
    """Moves the gene with the most options left that way by one, the size last; False if none is left."""

    def options_left(name: str) -> int:
        index = ladder[name].index(shape[name])
        return len(ladder[name]) - 1 - index if sign > 0 else index

    for group in ([name for name in ladder if name != "size"], ["size"] if "size" in ladder else []):
        name = max(group, key=options_left, default=None)
        if name is not None and options_left(name):
            shape[name] = ladder[name][ladder[name].index(shape[name]) + sign]
            return True
    return False
