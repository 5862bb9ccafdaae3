"""An explanation of one image: maps of a class by several methods, and the results of their checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.decisions import decide
from lightcnn.errors import DataError, LightcnnError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained import Explained, Inputs
from lightcnn.explaining.methods.attribution import Attribution, Method


@dataclass(frozen=True, eq=False)
class Explanation:
    """The map of one image and class by one method, and its checks by name.

    `seen` is the image as the network saw it, uint8 (H, W, 1 or 3). `probability` is that of the class `target`.
    """

    image: str
    target: str
    target_index: int
    prediction: str
    probability: float
    attribution: Attribution
    checks: Mapping[str, Mapping[str, Any]]
    seconds: float
    seen: NDArray[np.uint8]

    def document(self) -> dict[str, Any]:
        """The entry in report.json, without the names of files."""
        return {
            "image": self.image,
            "target": self.target,
            "target_index": self.target_index,
            "prediction": self.prediction,
            "probability": self.probability,
            "method": self.attribution.method,
            "layer": self.attribution.layer,
            "facts": dict(self.attribution.facts),
            "notes": list(self.attribution.notes),
            "checks": {name: dict(check) for name, check in self.checks.items()},
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Failure:
    """A method that could not explain an image, and why."""

    image: str
    method: str
    error: LightcnnError


@dataclass(frozen=True, eq=False)
class Explainer:
    """A network, the methods that explain it, and the checks of their maps."""

    network: Explained
    methods: Sequence[Method]
    checker: Checker

    def __call__(
        self,
        image: str,
        inputs: Inputs,
        seen: NDArray[np.uint8],
        *,
        target: int | None = None,
        mask: NDArray[np.bool_] | None = None,
        step: Callable[[int], None] = lambda methods_done: None,
    ) -> tuple[list[Explanation], list[Failure]]:
        """Explains one image (1, C, H, W) by all methods, for a class or, without `target`, the predicted one.

        `mask` (H, W) is the ground truth. `step` is called with the number of methods done.

        Raises: DataError if the network's outputs are not finite.
        """
        row = self.network.probability_table(inputs)
        if not np.isfinite(row).all():
            raise DataError("makes the network's numbers overflow")
        predicted = int(decide(row, self.network.threshold)[0])
        index = predicted if target is None else target
        check = self.checker.image(inputs, index, mask)
        classes = self.network.classes
        labels = image, classes[index], index, classes[predicted], float(row[0, index])
        explanations, failures = [], []
        for number, method in enumerate(self.methods, 1):
            began = time.monotonic()
            try:
                attribution = method(self.network, inputs, index)
                seconds = time.monotonic() - began
                checks = check(attribution, method)
            except LightcnnError as error:
                failures.append(Failure(image, method.name, error))
                continue
            explanations.append(Explanation(*labels, attribution, checks, seconds, seen))
            step(number)
        return explanations, failures
