"""A made-up table with the structure of a space of widths and depths: every entry has a cost and an accuracy.

An entry has an input size, a kernel and, for each of three stages, a width and a depth of separable convolutions; each
stage halves height and width. Entries that use 50 to 100 % of the budget are the candidates, or those between two
costs. `values(seed)` are their accuracies in points, one table a seed: smooth optima in input size, depth, parameters
and the shares of the stages in the multiply-adds, effects of kernels and of pairs of choices, and a small part that
nothing explains. A band of the table has the same rows, and proposes those between two costs of its own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.space import Gene, Shape

SIZES, WIDTHS, DEPTHS, KERNELS, STAGES = (16, 20, 24, 32), (8, 16, 24, 40, 64), (1, 2, 3), (3, 5), 3
BUDGET, MIN_USE = 1_000_000, 0.5
SPREAD, SKEW, ROUGHNESS = 0.5, 0.5, 0.03
"""Standard deviations in points of the accuracies of all candidates, and of the part that nothing explains."""


@dataclass(frozen=True)
class Entry:
    """A candidate: its row in the table, and what is known of it without a training."""

    row: int
    shape: Shape
    features: tuple[float, ...]
    macs: float
    violations: Mapping[str, float]
    """By how much it is above the band, or below it."""

    @property
    def key(self) -> str:
        """The number of the row."""
        return str(self.row)


class WidthDepthTable:
    """The candidates of the table, as a space that strategies propose from."""

    def __init__(self, low: float = MIN_USE * BUDGET, high: float = BUDGET) -> None:
        stages = (Gene(f"{i}.{n}", o, True) for i in range(STAGES) for n, o in (("width", WIDTHS), ("depth", DEPTHS)))
        self._genes = (Gene("size", SIZES, True), Gene("kernel", KERNELS), *stages)
        self._names = [gene.name for gene in self._genes]
        options = list(product(*(gene.options for gene in self._genes)))
        costs = [_cost(dict(zip(self._names, values, strict=True))) for values in options]
        used = [low <= macs[0] <= high for macs in costs]
        self._options = [values for values, use in zip(options, used, strict=True) if use]
        self._costs = np.log([macs for macs, use in zip(costs, used, strict=True) if use])
        self._ranks = np.array([[_rank(g, v) for g, v in zip(self._genes, o, strict=True)] for o in self._options]).T
        self._rows = {values: row for row, values in enumerate(self._options)}
        self.macs = np.rint(np.exp(self._costs[:, 0]))
        self._low, self._high, self._drawn = low, high, np.arange(len(self._options))

    def band(self, low: float, high: float) -> WidthDepthTable:
        """The same table, of which only entries of more than `low` and at most `high` multiply-adds are proposed."""
        band = copy.copy(self)
        band._low, band._high = low, high
        band._drawn = np.flatnonzero((self.macs > low) & (self.macs <= high))
        return band

    def __len__(self) -> int:
        return len(self._options)

    def genes(self) -> tuple[Gene, ...]:
        """Input size, kernel, and width and depth of each stage."""
        return self._genes

    def start_shapes(self) -> tuple[Shape, ...]:
        """A candidate in the middle of the table."""
        return (self._entry(int(self._drawn[len(self._drawn) // 2])).shape,)

    def draw(self, random: Random) -> Shape:
        """A random candidate."""
        return self._entry(int(self._drawn[random.randrange(len(self._drawn))])).shape

    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape:
        """A candidate that differs in one to three genes; numbers move by one option."""
        shape = self.candidate(shape, random).shape
        while True:
            child = dict(shape)
            for gene in random.sample(self._genes, random.choice((1, 1, 2, 3))):
                index = gene.options.index(child[gene.name]) + random.choice((-1, 1))
                child[gene.name] = gene.options[min(max(index, 0), len(gene.options) - 1)]
            if child != shape and self._admits(tuple(child.values())):
                return child

    def candidate(self, shape: Mapping[str, Any], random: Random) -> Entry:
        """The entry of a shape; of one outside the budget, the nearest that all widths together step to, or a draw."""
        values = tuple(shape[name] for name in self._names)
        sign = -1 if _cost(shape)[0] > self._high else 1
        while not self._admits(values):
            wider = tuple(
                _stepped(v, sign) if n.endswith("width") else v for n, v in zip(self._names, values, strict=True)
            )
            values = tuple(self.draw(random).values()) if wider == values else wider
        return self._entry(self._rows[values])

    def inspect(self, shape: Mapping[str, Any]) -> Entry:
        """The entry of a shape of the table."""
        return self._entry(self._rows[tuple(shape[name] for name in self._names)])

    def features(self, candidate: Entry) -> tuple[float, ...]:
        """Logarithms of multiply-adds, parameters and peak of activations, and of the multiply-adds of each stage."""
        return candidate.features

    def _entry(self, row: int) -> Entry:
        macs, shape = float(self.macs[row]), dict(zip(self._names, self._options[row], strict=True))
        excess = {"macs": max((macs - self._high) / self._high, (self._low - macs) / self._low)}
        return Entry(row, shape, tuple(self._costs[row]), macs, excess)

    def _admits(self, values: tuple[Any, ...]) -> bool:
        """Whether the table has this entry, and it is within the band."""
        row = self._rows.get(values)
        return row is not None and max(self._entry(row).violations.values()) <= 0

    def values(self, seed: int) -> NDArray[np.float64]:
        """The accuracy of every candidate in points, for one table of the family."""
        random = np.random.default_rng(seed)
        ranks, (macs, params, _, *stages) = self._ranks, self._costs.T
        shares = np.exp(np.array(stages) - macs)
        value = -random.uniform(1, 4) * (ranks[0] - random.uniform(-0.5, 0.5)) ** 2
        value = value - random.uniform(0.1, 0.5) * (params - random.uniform(8, 11)) ** 2
        value = value + random.normal(0.5, 0.5) * macs
        for share in shares:
            value = value - random.uniform(1, 6) * (share - random.uniform(0.1, 0.5)) ** 2
        value = value - random.uniform(0.5, 3) * (ranks[3::2].mean(axis=0) - random.uniform(-0.4, 0.4)) ** 2
        value = value + random.normal(0, 0.2) * ranks[1]
        for _ in range(8):
            first, second = random.choice(len(ranks), 2, replace=False)
            value = value + random.normal(0, 0.6) * ranks[first] * ranks[second]
        worse = np.exp(-SKEW * (value - value.mean()) / value.std())  # the best networks of a budget are close together
        return np.asarray(92 - SPREAD * worse / worse.std() + random.normal(0, ROUGHNESS, len(value)))


def _rank(gene: Gene, value: Any) -> float:
    """The place of a value among the options, from -0.5 to 0.5."""
    return gene.options.index(value) / (len(gene.options) - 1) - 0.5


def _stepped(width: int, sign: int) -> int:
    index = WIDTHS.index(width) + sign
    return WIDTHS[min(max(index, 0), len(WIDTHS) - 1)]


def _cost(shape: Mapping[str, Any]) -> tuple[int, ...]:
    """Multiply-adds, parameters, peak of activations, and the multiply-adds of each stage."""
    area, channels, params, peak, stages = shape["size"] ** 2, 3, 0, 0, []
    for index in range(STAGES):
        width, depth, kernel = shape[f"{index}.width"], shape[f"{index}.depth"], shape["kernel"]
        weights = channels * (kernel**2 + width) + (depth - 1) * width * (kernel**2 + width)
        peak = max(peak, area * (channels + width))
        params, channels = params + weights, width
        stages.append(area * weights)
        area = math.ceil(area / 4)
    return sum(stages), params, peak, *stages
