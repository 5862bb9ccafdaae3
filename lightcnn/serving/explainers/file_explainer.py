"""Explains with an exported file, by the methods that need predictions only. No torch."""

from __future__ import annotations

from typing import Any

from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_file import ExplainedFile, file_reading
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.figures.panels import Canvas
from lightcnn.explaining.methods.catalogue import MODEL_FREE_METHODS, make_method
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel
from lightcnn.serving.explainers.explanations import (
    ImageExplainer,
    Report,
    explanation_document,
    shown_pixels,
)
from lightcnn.serving.settings import Limits
from lightcnn.serving.uploads import Upload


class FileExplainer(ImageExplainer):
    """Explains with an exported file."""

    methods = MODEL_FREE_METHODS

    def __init__(self, model: ExportedModel | ForeignModel, limits: Limits) -> None:
        self._model, self._limits, self._reading = model, limits, file_reading(model)

    def explain(self, upload: Upload, method: str, target: int | None, report: Report) -> dict[str, Any]:
        """The answer to `POST /explain`. Raises: LightcnnError if the method cannot explain the image."""
        decoded = upload.decode(self._model.rule, self._limits).pixels
        seen = self._reading.seen(decoded)
        explained = ExplainedFile(self._model, report)
        explainer = Explainer(explained, [make_method(method)], Checker(explained))
        explanations, failures = explainer(upload.name, explained.inputs_of(seen), seen, target=target)
        if failures:
            raise failures[0].error
        canvas = Canvas(shown_pixels(decoded), self._reading.frame(decoded.shape))
        return explanation_document(explanations[0], canvas)
