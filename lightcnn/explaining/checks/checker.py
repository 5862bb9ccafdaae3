"""The checks that tell a faithful explanation from a pretty one, of every map by one rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.explaining.checks import map_sanity, mask_overlap, reruns, self_reported
from lightcnn.explaining.checks.deletion_insertion import Curves, area
from lightcnn.explaining.checks.weight_randomisation import redrawn
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution, Method

Level = Literal["none", "quick", "full"]
LEVELS: tuple[Level, ...] = ("none", "quick", "full")
NAMES = ("map", "deletion", "insertion", "completeness", "fit", "seeds", "randomisation", "stability", "mask")
STEPS = {"none": 1, "quick": 20, "full": 50}
"""Of a curve."""
RANDOMS = {"none": 1, "quick": 2, "full": 3}
"""Orders of chance whose mean curve is a control."""


class Checker:
    """What judges maps of a network: `quick` from its answers, `full` also by running each method again, `none` not.

    The same seed gives the same numbers. The network whose top is redrawn is made once, at the first image.
    """

    def __init__(self, explained: ExplainedNetwork, *, level: Level = "quick", seed: int = 0) -> None:
        self.explained = explained
        self.level = level
        self.seed = seed
        self._forgetful: ExplainedNetwork | None = None

    def image(self, inputs: Tensor, target: int, mask: NDArray[np.bool_] | None = None) -> ImageChecks:
        """The judge of all maps of an image (1, C, H, W) and class. `mask` (H, W) says where the truth lies."""
        curves = Curves(self.explained, inputs, target, STEPS[self.level], RANDOMS[self.level], self.seed)
        return ImageChecks(self, inputs, target, mask, curves)

    def forgetful(self, inputs: Tensor) -> ExplainedNetwork:
        """The network whose top is redrawn; images (N, C, H, W) show the order of its parts."""
        if self._forgetful is None:
            self._forgetful = redrawn(self.explained, inputs, self.seed)
        return self._forgetful


@dataclass(frozen=True, eq=False)
class ImageChecks:
    """The checks of the maps of one image and class: `checks` of report.json, by name."""

    checker: Checker
    inputs: Tensor
    target: int
    mask: NDArray[np.bool_] | None
    curves: Curves

    def __call__(self, attribution: Attribution, method: Method) -> dict[str, dict[str, Any]]:
        """Each `{value, passed, rule, says, ...}`: `passed` is None where a check could not be made, and `says` why."""
        if self.checker.level == "none":
            return {}
        explained, found = self.checker.explained, attribution.map
        checks = {"map": map_sanity.shape_of(found, explained, self.inputs)}
        checks |= {name: self.curves.judge(name, found) for name in ("deletion", "insertion")}
        checks |= self_reported.claims(attribution.facts)
        if attribution.method == "lime":
            checks["seeds"] = reruns.seeds(attribution, method, explained, self.inputs, self.target)
        if self.checker.level == "full":
            checks |= self._again(attribution, method)
        if self.mask is not None:
            checks["mask"] = mask_overlap.inside(found, self.mask) | {"needed": self._needed}
        return {name: checks[name] for name in NAMES if name in checks}

    @cached_property
    def _needed(self) -> dict[str, float] | None:
        """What the network does without the mask, whatever a map says of it: None where it marks nothing or all.

        The area of deletion in which the pixels of the mask go first, beside that of chance: the smaller, the more the
        answer hangs on what is in the mask.
        """
        if self.mask is None or self.mask.all() or not self.mask.any():
            return None
        curves = self.curves
        without = curves.walk("deletion", [self.mask.astype(np.float64)])[0]
        chance = curves.controls["deletion"]["random"]
        return {"deletion": area(without, curves.fractions), "random": area(chance, curves.fractions)}

    def _again(self, attribution: Attribution, method: Method) -> dict[str, dict[str, Any]]:
        """What costs as much as the method itself, several times."""
        checker, image, target = self.checker, self.inputs, self.target
        forgetful = checker.forgetful(image)
        return {
            "randomisation": reruns.randomisation(attribution, method, forgetful, image, target),
            "stability": reruns.stability(attribution, method, checker.explained, image, target, seed=checker.seed),
        }
