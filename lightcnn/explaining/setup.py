"""From the settings of `lightcnn explain` to a loaded network and its methods."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lightcnn.data.preprocess import Preprocess
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.methods.catalogue import make_method
from lightcnn.explaining.methods.layer_choice import MapLayer, find_layer, map_layers
from lightcnn.explaining.settings import ExplainSettings, find_target, require_level, require_run
from lightcnn.predictor import Evaluation
from lightcnn.run_folder import RunFolder
from lightcnn.trained_network import TrainedNetwork, evaluate_images


@dataclass(frozen=True, eq=False)
class ExplainSetup:
    """The run to explain, its network and preprocessing, and the methods and checks to apply.

    `target` is the index of a class, or None to explain each image's predicted class.
    """

    source: RunFolder
    preprocess: Preprocess
    network: ExplainedNetwork
    explainer: Explainer
    target: int | None

    def evaluation(self, image: ExplainedImage) -> Evaluation:
        """How unlike the training images an image is, and what differs from them. Raises: RunError."""
        pixels, original = image.pixels[None].to(self.network.device), (image.channels, image.frame.shorter_side)
        return evaluate_images(self.network.model, pixels, [original], self.preprocess)[0]


def prepare(settings: ExplainSettings) -> ExplainSetup:
    """Loads the network of the run. Raises: InputError if the run, a method, the class or the layer cannot be used."""
    level = require_level(settings.checks)
    source = require_run(settings.run)
    methods = [make_method(name, settings.options) for name in settings.unique_methods]
    trained = TrainedNetwork.load(source, device=settings.device)
    target = find_target(trained.preprocess.classes, settings.target)
    network = ExplainedNetwork.of(trained.model, trained.preprocess, batch=settings.batch)
    explainer = Explainer(network, methods, Checker(network, level=level, seed=settings.options.seed))
    setup = ExplainSetup(source, trained.preprocess, network, explainer, target)
    if settings.options.layer is not None:
        find_layer(layers_of(setup), settings.options.layer)
    return setup


def layers_of(setup: ExplainSetup) -> list[MapLayer]:
    """The layers that `--layer` accepts, in the order in which they run."""
    preprocess = setup.preprocess
    blank = torch.zeros(1, preprocess.channels, preprocess.size, preprocess.size)
    return map_layers(setup.network, setup.network.inputs(blank))
