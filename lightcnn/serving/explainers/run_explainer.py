"""Explains with the network of a run, by all methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lightcnn.counting.passes import fixed_randomness
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.figures.panels import Canvas
from lightcnn.explaining.images.image import ImageReading, from_source
from lightcnn.explaining.methods.catalogue import METHODS, make_method
from lightcnn.serving.explainers.explanations import ImageExplainer, Report, explanation_document, shown_pixels
from lightcnn.serving.uploads import Upload
from lightcnn.trained_network import TrainedNetwork


class RunExplainer(ImageExplainer):
    """Explains with a private copy of a network."""

    methods = tuple(METHODS)

    def __init__(self, network: TrainedNetwork) -> None:
        self._reading = ImageReading.of(network.preprocess)
        self._network = ExplainedNetwork.of(network.model, network.preprocess)

    def explain(self, upload: Upload, method: str, target: int | None, report: Report) -> dict[str, Any]:
        """The answer to `POST /explain`. Raises: LightcnnError if the method cannot explain the image."""
        image = from_source(upload.name, upload, self._reading)
        inputs = self._network.inputs_of(image.seen)
        explainer = Explainer(self._network, [make_method(method)], Checker(self._network))
        with fixed_randomness(0), _counted(self._network.model, report):
            explanations, failures = explainer(image.name, inputs, image.seen, target=target)
        if failures:
            raise failures[0].error
        canvas = Canvas(shown_pixels(image.whole()[0]), image.frame)
        return explanation_document(explanations[0], canvas)


@contextmanager
def _counted(model: nn.Module, report: Report) -> Iterator[None]:
    """Reports how many images went through a model, within the block."""
    count = 0

    def before(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        count += len(arguments[0])
        report(count)

    handle = model.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()
