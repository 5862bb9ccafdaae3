"""Deletion and insertion (RISE, arXiv:1806.07421): what becomes of a class's probability in the order of a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.errors import LightcnnError
from lightcnn.explaining.checks import controls
from lightcnn.explaining.checks.map_sanity import WORDS, fault
from lightcnn.explaining.checks.ranks import places
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.blur import blurred

BLUR = 1 / 16
"""Standard deviation of the blur that insertion begins with, in shorter sides: no more than large shapes is left."""
CHANGE = 0.1
"""Of the probability, from one end of a curve to the other: with less, a network that is blind to the image is told."""
RULES = {
    "deletion": "the highest pixels first become the training mean (inputs of 0): the area under the probability of "
    "the class is below that of every control",
    "insertion": "the highest pixels first come into the blurred image: the area under the probability of the class is "
    "above that of every control",
}
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of maps of one image (1, C, H, W) and class; those of the controls are made once."""

    explained: ExplainedNetwork
    inputs: Tensor
    target: int
    steps: int
    randoms: int
    seed: int

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many pixels are changed at each step, from none to all."""
        size = self.inputs.shape[2] * self.inputs.shape[3]
        return np.unique(np.round(np.linspace(0, size, self.steps + 1)).astype(np.int64))

    @property
    def fractions(self) -> Numbers:
        """The same as shares of the image."""
        shares: Numbers = self.counts / self.counts[-1]
        return shares

    def walk(self, name: str, maps: Sequence[NDArray[np.floating[Any]]]) -> Numbers:
        """The probabilities (maps, steps + 1) of deletion or insertion in the order of each map (H, W).

        Raises: LightcnnError where one is not finite.
        """
        start, end = (self.inputs, torch.zeros_like(self.inputs))
        if name == "insertion":
            start, end = blurred(self.inputs, BLUR * min(self.inputs.shape[2:])), self.inputs
        ranks = torch.from_numpy(np.stack([places(found, self.seed) for found in maps])).to(start.device)
        counts = torch.from_numpy(self.counts).to(start.device)

        def work(first: int, last: int) -> Tensor:
            rows = torch.arange(first, last, device=start.device)
            changed = ranks[rows // len(counts)] < counts[rows % len(counts), None, None]
            return self.explained.probabilities_once(torch.where(changed[:, None], end, start))[:, self.target]

        found: Numbers = self.explained.batch.map(len(maps) * len(counts), work).numpy()
        if not np.isfinite(found).all():
            raise LightcnnError("explain: the network's numbers overflow; no curve can be drawn")
        return found.reshape(len(maps), len(counts))

    @cached_property
    def controls(self) -> dict[str, dict[str, Numbers]]:
        """Of deletion and insertion, the curve of each control; that of chance is the mean of several."""
        height, width = self.inputs.shape[2:]
        chance = [controls.random(height, width, self.seed, number) for number in range(self.randoms)]
        maps = [controls.centre(height, width), controls.edges(self.explained, self.inputs), *chance]
        walks = {name: self.walk(name, maps) for name in RULES}
        return {
            name: {"random": found[2:].mean(axis=0), "centre": found[0], "edges": found[1]}
            for name, found in walks.items()
        }

    def judge(self, name: str, found: NDArray[np.float32]) -> dict[str, Any]:
        """The check of a map (H, W) by that name; one without an order fails it, and says so."""
        beaten = {control: area(curve, self.fractions) for control, curve in self.controls[name].items()}
        common = {"rule": RULES[name], "controls": beaten, "steps": len(self.counts) - 1}
        why = fault(found)
        if why == "nonfinite":
            result = {"value": None, "passed": False, **common, "margin": None, "blind": None}
            return result | {"says": WORDS[why], "curves": None}
        curve = self.walk(name, [found])[0]
        value = area(curve, self.fractions)
        margin = min(beaten.values()) - value if name == "deletion" else value - max(beaten.values())
        says = f"{WORDS[why]}, and the order is one of chance" if why else ""
        if blind := abs(float(curve[0] - curve[-1])) < CHANGE:
            says = "; ".join(filter(None, [says, f"the answer without the image is the same within {CHANGE:g}"]))
        told = _told(self.fractions, {"map": curve, **self.controls[name]})
        passed = margin > 0 and why is None
        result = {"value": value, "passed": passed, **common, "margin": margin, "blind": blind}
        return result | {"says": says, "curves": told}


def area(curve: Numbers, fractions: Numbers) -> float:
    """Under probabilities at shares of the image from 0 to 1, by trapezoids: from 0 to 1."""
    return float(np.trapezoid(curve, fractions))


def _told(fractions: Numbers, curves: Mapping[str, Numbers]) -> dict[str, list[float]]:
    """Points for a figure."""
    return {name: [round(float(at), 6) for at in line] for name, line in {"fractions": fractions, **curves}.items()}
