"""From the settings of `lightcnn explain` to the network of a run and its methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lightcnn.data.preprocess import Preprocess
from lightcnn.devices import device_name
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.images.image import ExplainedImage, ImageReading
from lightcnn.explaining.images.masks import MaskFolder
from lightcnn.explaining.images.selection import Selection, select_test_images
from lightcnn.explaining.methods.catalogue import make_method
from lightcnn.explaining.methods.layer_choice import MapLayer, find_layer, map_layers
from lightcnn.explaining.settings import SOURCE_FILES, ExplainSettings, find_target, require_level, require_run
from lightcnn.explaining.setup.explain_setup import ExplainSetup
from lightcnn.predictor import Evaluation
from lightcnn.progress import Progress
from lightcnn.run_data import load_run_data
from lightcnn.run_folder import RunFolder
from lightcnn.trained_network import TrainedNetwork, evaluate_images


@dataclass(frozen=True, eq=False)
class RunSetup(ExplainSetup):
    """A run, its network and its preprocessing."""

    source: RunFolder
    preprocess: Preprocess
    explained: ExplainedNetwork

    @property
    def notes(self) -> Sequence[str]:
        """What a reader must know about how the network was run."""
        return [self.explained.batch.note] if self.explained.batch.note else []

    def evaluation(self, image: ExplainedImage) -> Evaluation:
        """How unlike the training images an image is, and what differs from them. Raises: RunError."""
        pixels = torch.from_numpy(image.seen.copy()).movedim(2, 0)[None].contiguous().to(self.explained.device)
        original = image.channels, image.frame.shorter_side
        return evaluate_images(self.explained.model, pixels, [original], self.preprocess)[0]

    def test_images(self, settings: ExplainSettings, masks: MaskFolder | None, progress: Progress) -> Selection:
        """Images of the test set of the run's data, or of other data. Raises: InputError if there are none."""
        data = load_run_data(
            self.source, self.preprocess, source=settings.data, data_dir=settings.data_dir, progress=progress,
            remedy="give images, or data with --data SOURCE",
        )  # fmt: skip
        return select_test_images(
            data, self.explained, self.preprocess, masks,
            limit=settings.images, seed=settings.options.seed, progress=progress,
        )  # fmt: skip


def prepare_run(settings: ExplainSettings) -> RunSetup:
    """Loads the network of the run. Raises: InputError if the run, a method, the class or the layer cannot be used."""
    level = require_level(settings.checks)
    source = require_run(settings.run)
    methods = [make_method(name, settings.options) for name in settings.unique_methods]
    trained = TrainedNetwork.load(source, device=settings.device)
    preprocess = trained.preprocess
    target = find_target(preprocess.classes, settings.target)
    network = ExplainedNetwork.of(trained.model, preprocess, batch=settings.batch)
    setup = RunSetup(
        path=source.path, digests={name: source.sha256(file) for name, file in SOURCE_FILES.items()},
        network=source.report.get("network"), rule=preprocess, reading=ImageReading.of(preprocess),
        explainer=Explainer(network, methods, Checker(network, level=level, seed=settings.options.seed)),
        target=target, stand_in=preprocess.stand_in, device=device_name(network.device),
        source=source, preprocess=preprocess, explained=network,
    )  # fmt: skip
    if settings.options.layer is not None:
        find_layer(layers_of(setup), settings.options.layer)
    return setup


def layers_of(setup: RunSetup) -> list[MapLayer]:
    """The layers that `--layer` accepts, in the order in which they run."""
    preprocess = setup.preprocess
    blank = np.zeros((preprocess.size, preprocess.size, preprocess.channels), np.uint8)
    return map_layers(setup.explained, setup.explained.inputs_of(blank))
