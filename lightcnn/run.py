"""`lightcnn.Run`: a run folder, and the network in it. torch is loaded when something is predicted, not before."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lightcnn import run_folder

if TYPE_CHECKING:
    from lightcnn.trained_network import Predictions, TrainedNetwork


class Run(run_folder.RunFolder):
    """A run folder whose network predicts: `Run.load("runs/mine").predict(["a.jpg"])`."""

    @cached_property
    def trained(self) -> TrainedNetwork:
        """The network with its weights and preprocessing, read once. Raises: InputError where that is not possible."""
        from lightcnn.trained_network import TrainedNetwork

        return TrainedNetwork.load(self)

    def predict(self, images: Iterable[Any], *, abstain_below: float = 0.0) -> Predictions:
        """Class probabilities of paths, or of uint8 arrays (H, W), (H, W, 1) or (H, W, 3). Raises: InputError."""
        return self.trained.predict(images, abstain_below=abstain_below)
