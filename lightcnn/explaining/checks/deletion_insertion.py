"""Deletion and insertion (RISE, arXiv:1806.07421): how a class's probability changes in the order of a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import LightcnnError
from lightcnn.explaining.checks import controls
from lightcnn.explaining.checks.map_sanity import WARNINGS, missing_order
from lightcnn.explaining.checks.ranks import pixel_ranks
from lightcnn.explaining.explained import Explained, Inputs
from lightcnn.explaining.methods.blur import blurred

START_BLUR = 1 / 16
"""Standard deviation of the blur that insertion starts with, as a share of the smaller of height and width.

Only large shapes remain."""
MIN_CHANGE = 0.1
"""If the probability changes by less than this from one end of a curve to the other, the curve is uninformative."""
RULES = {
    "deletion": "when the highest pixels are replaced first by the training mean (inputs of 0), the area under the "
    "probability of the class is below that of every control",
    "insertion": "when the highest pixels are inserted first into the blurred image, the area under the probability of "
    "the class is above that of every control",
}
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of the maps of one image (1, C, H, W) and class; those of the controls are computed once."""

    explained: Explained
    inputs: Inputs
    target: int
    steps: int
    random_orders: int
    seed: int

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of changed pixels at each step, from none to all."""
        size = self.inputs.shape[2] * self.inputs.shape[3]
        return np.unique(np.round(np.linspace(0, size, self.steps + 1)).astype(np.int64))

    @property
    def fractions(self) -> Numbers:
        """The share of changed pixels at each step."""
        shares: Numbers = self.counts / self.counts[-1]
        return shares

    def compute(self, name: str, maps: Sequence[NDArray[np.floating[Any]]]) -> Numbers:
        """The probabilities (maps, steps + 1) of deletion or insertion in the order of each map (H, W).

        Raises: LightcnnError if a probability is not finite.
        """
        explained = self.explained
        start, end = (self.inputs, explained.mean_image(self.inputs))
        if name == "insertion":
            soft = blurred(explained.values(self.inputs), START_BLUR * min(self.inputs.shape[2:]))
            start, end = explained.from_values(soft), self.inputs
        ranks = np.stack([pixel_ranks(values, self.seed) for values in maps])
        counts = self.counts

        def changed(first: int, last: int) -> NDArray[np.bool_]:
            rows = np.arange(first, last)
            return np.asarray(ranks[rows // len(counts)] < counts[rows % len(counts), None, None])

        table = explained.mixed_probabilities(end, start, changed, len(maps) * len(counts))
        probabilities: Numbers = table[:, self.target]
        if not np.isfinite(probabilities).all():
            raise LightcnnError("explain: the network's numbers overflow; its curves cannot be computed")
        return probabilities.reshape(len(maps), len(counts))

    @cached_property
    def controls(self) -> dict[str, dict[str, Numbers]]:
        """For deletion and insertion, the curve of each control; `random` is the mean of several."""
        height, width = self.inputs.shape[2:]
        random = [controls.random(height, width, self.seed, number) for number in range(self.random_orders)]
        maps = [controls.centre(height, width), controls.edges(self.explained, self.inputs), *random]
        curves = {name: self.compute(name, maps) for name in RULES}
        return {
            name: {"random": lines[2:].mean(axis=0), "centre": lines[0], "edges": lines[1]}
            for name, lines in curves.items()
        }

    def check(self, name: str, values: NDArray[np.float32]) -> dict[str, Any]:
        """The check `deletion` or `insertion` of a map (H, W); a map without an order fails it."""
        control_areas = {control: area(curve, self.fractions) for control, curve in self.controls[name].items()}
        common = {"rule": RULES[name], "controls": control_areas, "steps": len(self.counts) - 1}
        why = missing_order(values)
        if why == "nonfinite":
            result = {"value": None, "passed": False, **common, "margin": None, "blind": None}
            return result | {"says": WARNINGS[why], "curves": None}
        curve = self.compute(name, [values])[0]
        value = area(curve, self.fractions)
        margin = min(control_areas.values()) - value if name == "deletion" else value - max(control_areas.values())
        remarks = [f"{WARNINGS[why]}, so that the order of the pixels is random"] if why else []
        if is_blind := abs(float(curve[0] - curve[-1])) < MIN_CHANGE:
            remarks.append(f"without the image the probability differs by less than {MIN_CHANGE:g}")
        points = _points(self.fractions, {"map": curve, **self.controls[name]})
        passed = margin > 0 and why is None
        result = {"value": value, "passed": passed, **common, "margin": margin, "blind": is_blind}
        return result | {"says": "; ".join(remarks), "curves": points}


def area(curve: Numbers, fractions: Numbers) -> float:
    """The area under probabilities at `fractions` of the image from 0 to 1, by trapezoids: from 0 to 1."""
    return float(np.trapezoid(curve, fractions))


def _points(fractions: Numbers, curves: Mapping[str, Numbers]) -> dict[str, list[float]]:
    """The points of the curves, rounded for a figure."""
    lines = {"fractions": fractions, **curves}
    return {name: [round(float(value), 6) for value in line] for name, line in lines.items()}
