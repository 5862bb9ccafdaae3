"""What earlier trainings know about a new data set: how networks of one budget will differ after a training.

The prior is a linear model of three features that cost nothing, and of their products with the length of the training.
prior.py makes it of a table of finished trainings on other data sets. It is not shipped: docs/reference/measurements.md
has what it is worth so far.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from lightcnn import document
from lightcnn.budget import Cost
from lightcnn.document import Frozen, rule_error

VERSION = 1
"""Version of the features and of the file; a prior of another version is refused."""
FEATURES = ("input size over size of the data", "parameters", "peak of the activations")
"""The features, as binary logarithms. More features fit the few earlier trainings better and new data sets worse."""
IMAGES, PASSES = 48_000, 8
"""The length at which the first effect of a feature holds: in images, and in passes over the training set."""


class Prior(Frozen):
    """The effects of the features on minus the logarithm of the calibrated log loss, and what they were fitted to."""

    version: int
    data: tuple[str, ...]
    trainings: Annotated[int, Field(ge=1)]
    effects: Annotated[
        tuple[tuple[float, float, float], ...],
        Field(description="of each feature: at the compared length, for each doubling of images, and of passes"),
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.version != VERSION:
            raise rule_error(
                "version",
                f"must be {VERSION}, not {self.version}; write the prior again with tests/benchmarks/prior.py fit",
            )
        if len(self.effects) != 3:
            raise rule_error("effects", f"must have 3 rows, not {len(self.effects)}; write the prior again")
        return self

    @classmethod
    def load(cls, file: str | Path) -> Prior:
        """Reads a prior. Raises: DocumentError in one line if it cannot be used."""
        return document.load(cls, file)

    def mean(self, features: ArrayLike, images: ArrayLike, train_images: int) -> NDArray[np.float64]:
        """Minus the logarithm of the log loss (N,), up to a constant, of networks with `prior_features` (N, 3).

        `images` is the length of the training in images, one number or one for each network. Only differences between
        networks on one data set after trainings of one length have a meaning; higher is better.
        """
        return np.asarray(with_length(features, images, train_images) @ np.array(self.effects).ravel())


def prior_features(cost: Cost, input_size: int, data_size: int) -> tuple[float, float, float]:
    """The `FEATURES` of a network with inputs of `input_size` pixels, for images of `data_size` pixels."""
    return math.log2(input_size / data_size), math.log2(cost.params), math.log2(cost.peak_activations)


def with_length(features: ArrayLike, images: ArrayLike, train_images: int) -> NDArray[np.float64]:
    """Features (N, F), and their products with the logarithms of the length in images and in passes: (N, 3 F)."""
    points = np.asarray(features, dtype=float)
    length = np.broadcast_to(np.asarray(images, dtype=float), len(points))[:, None]
    in_images, in_passes = np.log2(length / IMAGES), np.log2(length / train_images / PASSES)
    return np.hstack([points, points * in_images, points * in_passes])
