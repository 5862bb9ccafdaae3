"""The checks that separate a faithful explanation from a plausible one; every map is checked by the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.explaining.checks import map_sanity, mask_overlap, reruns, self_reported
from lightcnn.explaining.checks.catalogue import CHECKS
from lightcnn.explaining.checks.deletion_insertion import Curves, area
from lightcnn.explaining.explained import Inputs
from lightcnn.explaining.methods.attribution import Attribution, Method
from lightcnn.explaining.methods.catalogue import is_random

STEPS = {"none": 1, "quick": 20, "full": 50}
"""Number of steps of a curve at each check level."""
RANDOM_ORDERS = {"none": 1, "quick": 2, "full": 3}
"""Number of random orders whose mean curve is a control, at each check level."""


class Checker:
    """Checks the maps of a network: an `Explained`, or at level `full` an `ExplainedNetwork`.

    Level `quick` uses the network's predictions, `full` also runs each method again, and `none` checks nothing. Equal
    seeds give equal numbers. The network with randomised last layers is made once, at the first image.
    """

    def __init__(self, explained: Any, *, level: str = "quick", seed: int = 0) -> None:
        self.explained = explained
        self.level = level
        self.seed = seed
        self._randomised: Any = None

    def image(self, inputs: Inputs, target: int, mask: NDArray[np.bool_] | None = None) -> ImageChecks:
        """The checks of all maps of one image (1, C, H, W) and class. `mask` (H, W) is the ground truth."""
        curves = Curves(self.explained, inputs, target, STEPS[self.level], RANDOM_ORDERS[self.level], self.seed)
        return ImageChecks(self, inputs, target, mask, curves)

    def randomised_network(self, inputs: Inputs) -> Any:
        """The network with randomised last layers; images (N, C, H, W) show the order of its modules."""
        if self._randomised is None:
            from lightcnn.explaining.checks.weight_randomisation import randomised

            self._randomised = randomised(self.explained, inputs, self.seed)
        return self._randomised


@dataclass(frozen=True, eq=False)
class ImageChecks:
    """The checks of the maps of one image and class: `checks` of report.json, by name."""

    checker: Checker
    inputs: Inputs
    target: int
    mask: NDArray[np.bool_] | None
    curves: Curves

    def __call__(self, attribution: Attribution, method: Method) -> dict[str, dict[str, Any]]:
        """The checks of one map, each `{value, passed, rule, says, ...}`.

        If a check cannot be made, `passed` is None and `says` explains why.
        """
        if self.checker.level == "none":
            return {}
        explained, values = self.checker.explained, attribution.map
        checks = {"map": map_sanity.check_map(values, explained, self.inputs)}
        checks |= {name: self.curves.check(name, values) for name in ("deletion", "insertion")}
        checks |= self_reported.check_facts(attribution.facts)
        if is_random(attribution.method):
            checks["seeds"] = reruns.check_seeds(attribution, method, explained, self.inputs, self.target)
        if self.checker.level == "full":
            checks |= self._reruns(attribution, method)
        if self.mask is not None:
            checks["mask"] = mask_overlap.check_mask(values, self.mask) | {"needed": self._needed}
        return {name: checks[name] for name in CHECKS if name in checks}

    @cached_property
    def _needed(self) -> dict[str, float] | None:
        """How much the network needs the masked pixels, whatever the maps show; None if the mask marks nothing or all.

        The area under deletion if the masked pixels are removed first, next to that of a random order: the smaller, the
        more the prediction depends on the masked pixels.
        """
        if self.mask is None or self.mask.all() or not self.mask.any():
            return None
        curves = self.curves
        masked_first = curves.compute("deletion", [self.mask.astype(np.float64)])[0]
        random = curves.controls["deletion"]["random"]
        return {"deletion": area(masked_first, curves.fractions), "random": area(random, curves.fractions)}

    def _reruns(self, attribution: Attribution, method: Method) -> dict[str, dict[str, Any]]:
        """The checks that cost several times as much as the method itself."""
        checker, image, target = self.checker, self.inputs, self.target
        network = checker.randomised_network(image)
        return {
            "randomisation": reruns.check_randomisation(attribution, method, network, image, target),
            "stability": reruns.check_stability(
                attribution, method, checker.explained, image, target, seed=checker.seed
            ),
        }
