"""What the methods and checks need of a network that they only ask for predictions: a network of torch, or a file.

No torch: exported files are explained without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError

Inputs = Any
"""Images (N, C, H, W) as the network reads them: a tensor, or (for a file) an array with pixels on the scale 0..255."""
Masks = Callable[[int, int], NDArray[np.bool_]]
"""Gets the numbers of the first image of a batch and of the one after its last; returns masks (images, H, W)."""


def require_batch(size: Any) -> int:
    """The number of images that go through a network at once. Raises: InputError if it is not a whole number from 1."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise InputError(f"--batch {size}: must be a number of images, 1 or more")
    return size


class Explained(Protocol):
    """A network whose predictions for changed images explain it."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def threshold(self) -> float: ...

    def inputs_of(self, seen: NDArray[np.uint8]) -> Inputs:
        """The input (1, C, H, W) for an image (H, W, C) at the size of the network."""

    def values(self, inputs: Inputs) -> NDArray[np.float32]:
        """Images (N, C, H, W) as an array."""

    def from_values(self, values: NDArray[np.floating[Any]]) -> Inputs:
        """The inverse of `values`."""

    def pixels_of(self, inputs: Inputs) -> NDArray[np.float64]:
        """The pixels (C, H, W) of one image (1, C, H, W), on the scale 0..255."""

    def mean_image(self, inputs: Inputs) -> Inputs:
        """An image of the training mean, with the shape of `inputs`."""

    def probability_table(self, inputs: Inputs) -> NDArray[np.float64]:
        """Calibrated class probabilities (N, classes)."""

    def mixed_probabilities(self, inside: Inputs, outside: Inputs, masks: Masks, count: int) -> NDArray[np.float64]:
        """The same, (count, classes), of images that show `inside` in a mask and `outside` elsewhere."""

    def mixed_scores(
        self, inside: Inputs, outside: Inputs, masks: Masks, count: int, target: int
    ) -> NDArray[np.float64]:
        """The scores (count,) of a class for such images: its logit, or the nearest to it that the network returns."""
