"""Explains with an exported file, by the methods that need predictions only. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.preparation.resize import resize_array
from lightcnn.data.stream import PreparedImage
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained import Inputs, Masks
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.figures.panels import Canvas
from lightcnn.explaining.images.projection import Frame
from lightcnn.explaining.methods.catalogue import METHODS, make_method
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel
from lightcnn.serving.explainers.explanations import (
    OVERLAY_PIXELS,
    ImageExplainer,
    Report,
    explanation_document,
    shown_pixels,
)
from lightcnn.serving.settings import Limits
from lightcnn.serving.uploads import Upload

MODEL_FREE = tuple(name for name, kind in METHODS.items() if kind.needs == "predictions")
"""The methods that need predictions only."""
BATCH = 8
"""Number of images that go through the network at once."""
GREY = 0.5
"""The training mean, from 0 to 1, of a file that does not state it."""


class ExplainedFile:
    """An exported file as methods see it: inputs are arrays (N, C, H, W) of pixels, at the size of the network."""

    def __init__(self, model: ExportedModel | ForeignModel, report: Report) -> None:
        self._model, self._report, self._images = model, report, 0
        self.classes, self.threshold = model.classes, model.rule.threshold
        known = model.metadata.preprocess["mean"] if isinstance(model, ExportedModel) else [GREY] * model.rule.channels
        self._mean = np.rint(255 * np.asarray(known, np.float32)).reshape(1, -1, 1, 1)

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
        for start in range(0, count, BATCH):
            shown = masks(start, min(start + BATCH, count))[:, None]
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


class FileExplainer(ImageExplainer):
    """Explains with an exported file."""

    methods = MODEL_FREE

    def __init__(self, model: ExportedModel | ForeignModel, limits: Limits) -> None:
        self._model, self._limits = model, limits

    def explain(self, upload: Upload, method: str, target: int | None, report: Report) -> dict[str, Any]:
        """The answer to `POST /explain`. Raises: LightcnnError if the method cannot explain the image."""
        decoded = upload.decode(self._model.rule.scale, self._limits).pixels
        seen, canvas = self._seen(decoded)
        inputs = seen.transpose(2, 0, 1)[None].astype(np.float32)
        explained = ExplainedFile(self._model, report)
        explainer = Explainer(explained, [make_method(method)], Checker(explained))
        explanations, failures = explainer(upload.name, inputs, seen, target=target)
        if failures:
            raise failures[0].error
        return explanation_document(explanations[0], canvas)

    def _seen(self, decoded: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Canvas]:
        """A decoded image as the network sees it, (H, W, C), and what its maps are drawn on."""
        seen = self._model.prepare(decoded)
        if isinstance(self._model, ForeignModel):
            return seen, Canvas(seen, zoom=max(1, OVERLAY_PIXELS // (2 * max(seen.shape))))
        rule = self._model.rule
        frame = Frame(decoded.shape[0], decoded.shape[1], rule.size, rule.fit)
        return resize_array(seen, (rule.size, rule.size)), Canvas(shown_pixels(decoded), frame)
