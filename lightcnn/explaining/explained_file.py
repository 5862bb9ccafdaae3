"""An exported file as the methods see it that need predictions only. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.preparation.resize import resize_array
from lightcnn.data.stream import PreparedImage
from lightcnn.explaining.explained import Inputs, Masks, require_batch
from lightcnn.explaining.images.image import ImageReading
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel

BATCH = 8
"""Default number of images that go through the network at once."""
GREY = 0.5
"""The training mean, from 0 to 1, of a file that does not state it."""


class ExplainedFile:
    """An exported file as methods see it: inputs are arrays (N, C, H, W) of pixels, at the size of the network.

    `report` gets the number of images that went through the file so far, `batch` is the most at once.
    """

    def __init__(
        self,
        model: ExportedModel | ForeignModel,
        report: Callable[[int], object] = lambda images: None,
        *,
        batch: int | None = None,
    ) -> None:
        self._model, self._report, self._images = model, report, 0
        self._batch = BATCH if batch is None else require_batch(batch)
        self.classes, self.threshold = model.classes, model.rule.threshold
        stated = model.metadata.preprocess.get("mean") if isinstance(model, ExportedModel) else None
        known = stated or [GREY] * model.rule.channels
        self._mean = np.rint(255 * np.asarray(known, np.float32)).reshape(1, -1, 1, 1)

    def inputs_of(self, seen: NDArray[np.uint8]) -> Inputs:
        """The input (1, C, H, W) for an image (H, W, C) at the size of the network."""
        return seen.transpose(2, 0, 1)[None].astype(np.float32)

    def values(self, inputs: Inputs) -> NDArray[np.float32]:
        """The same images."""
        return np.asarray(inputs, np.float32)

    def from_values(self, values: NDArray[np.floating[Any]]) -> Inputs:
        """The same images."""
        return np.asarray(values, np.float32)

    def pixels_of(self, inputs: Inputs) -> NDArray[np.float64]:
        """The pixels (C, H, W) of one image (1, C, H, W)."""
        return np.asarray(inputs[0], np.float64)

    def mean_image(self, inputs: Inputs) -> Inputs:
        """An image of the training mean."""
        return np.broadcast_to(self._mean, inputs.shape)

    def probability_table(self, inputs: Inputs) -> NDArray[np.float64]:
        """Class probabilities (N, classes)."""
        pixels = np.clip(np.rint(inputs), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        self._images += len(pixels)
        self._report(self._images)
        rows = self._model.evaluate(
            [PreparedImage(image, image.shape[2], min(image.shape[:2]), Conversion()) for image in pixels]
        )
        return np.stack([row.probabilities for row in rows])

    def mixed_probabilities(self, inside: Inputs, outside: Inputs, masks: Masks, count: int) -> NDArray[np.float64]:
        """Probabilities (count, classes) of images that show `inside` in a mask and `outside` elsewhere."""
        parts = []
        for start in range(0, count, self._batch):
            shown = masks(start, min(start + self._batch, count))[:, None]
            parts.append(self.probability_table(np.where(shown, inside, outside)))
        return np.concatenate(parts)

    def mixed_scores(
        self, inside: Inputs, outside: Inputs, masks: Masks, count: int, target: int
    ) -> NDArray[np.float64]:
        """The scores (count,) for such images: the logarithm of the probability minus its mean over the classes.

        This is the logit minus the mean of all, divided by the temperature: a file returns no logits.
        """
        logarithms = np.log(np.maximum(self.mixed_probabilities(inside, outside, masks, count), 1e-30))
        return np.asarray(logarithms[:, target] - logarithms.mean(axis=1))


def file_reading(model: ExportedModel | ForeignModel) -> ImageReading:
    """How an image becomes the input of an exported file, at the size of its network."""
    if isinstance(model, ForeignModel):
        return ImageReading(model.rule.input[1:], "stretch", model.rule.scale, model.prepare)
    rule, size = model.rule, (model.rule.size, model.rule.size)
    return ImageReading(size, rule.fit, rule.scale, lambda image: resize_array(model.prepare(image), size))
