"""What comes of explaining an image: maps of a class by several methods, and what their checks say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.decisions import decide
from lightcnn.errors import DataError, InputError, LightcnnError
from lightcnn.explaining.checks.checker import LEVELS, Checker, Level
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution, Method
from lightcnn.text import nearest

SHOWN = 20
"""Classes that an error names."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """A method's map of one image and class, and its checks by name.

    `seen` is the image as the network saw it, uint8 (H, W, 1 or 3); `probability` is that of the target.
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
        """As in report.json, but for the files."""
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

    def figure(self) -> Any:
        """A matplotlib figure: the image, the map and the overlay, with the checks under them."""
        from lightcnn.explaining.figures.panels import Canvas, panel

        return panel(Canvas(self.seen), [self])

    def _repr_html_(self) -> str:
        from lightcnn.output import html
        from lightcnn.output.figures import png

        return html.figure(png(self.figure()), f"{self.attribution.method}: {self.target}")

    def __rich__(self) -> Any:
        from lightcnn.explaining.terminal import image_table

        return image_table([self.document()])


@dataclass(frozen=True)
class Failure:
    """A method that could not explain an image, and why."""

    image: str
    method: str
    error: LightcnnError


@dataclass(frozen=True, eq=False)
class Explainer:
    """A network, what explains it, and what checks that."""

    explained: ExplainedNetwork
    methods: Sequence[Method]
    checker: Checker

    def __call__(
        self,
        image: str,
        inputs: Tensor,
        seen: NDArray[np.uint8],
        *,
        target: int | None = None,
        mask: NDArray[np.bool_] | None = None,
        step: Callable[[int], None] = lambda done: None,
    ) -> tuple[list[Explanation], list[Failure]]:
        """All methods on one image (1, C, H, W), of a class or the predicted one; `mask` (H, W) is the truth.

        `step` is called with how many methods are done. Raises: DataError where the network's numbers are not finite.
        """
        row = self.explained.probabilities(inputs).numpy()
        if not np.isfinite(row).all():
            raise DataError("makes the network's numbers overflow")
        predicted = int(decide(row, self.explained.threshold)[0])
        asked = predicted if target is None else target
        judge = self.checker.image(inputs, asked, mask)
        classes = self.explained.classes
        done, failed = [], []
        for number, method in enumerate(self.methods, 1):
            began = time.monotonic()
            try:
                found = method(self.explained, inputs, asked)
                seconds = time.monotonic() - began
                checks = judge(found, method)
            except LightcnnError as error:
                failed.append(Failure(image, method.name, error))
                continue
            told = image, classes[asked], asked, classes[predicted], float(row[0, asked])
            done.append(Explanation(*told, found, checks, seconds, seen))
            step(number)
        return done, failed


def require_level(name: str) -> Level:
    """How much is checked. Raises: InputError."""
    for level in LEVELS:
        if level == name:
            return level
    raise InputError(f"--checks {name}: no such level{nearest(name, LEVELS)}; there are: {', '.join(LEVELS)}")


def target_index(classes: Sequence[str], target: str | int | None) -> int | None:
    """The number of a class that is given by its name or, from Python, by its number. Raises: InputError."""
    if target is None:
        return None
    if isinstance(target, Integral) and not isinstance(target, bool):
        if not 0 <= target < len(classes):
            raise InputError(
                f"target {target}: there are the classes 0 to {len(classes) - 1}; give one of these, or its name"
            )
        return int(target)
    if not isinstance(target, str) or target not in classes:
        more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
        raise InputError(
            f"--target {target}: no such class{nearest(str(target), classes)}; "
            f"there are: {', '.join(classes[:SHOWN])}{more}"
        )
    return list(classes).index(target)
