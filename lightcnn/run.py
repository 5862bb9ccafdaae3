"""`lightcnn.Run`: a run folder and the network in it. torch is loaded only when something is predicted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lightcnn import run_folder

if TYPE_CHECKING:
    from lightcnn.trained_network import Predictions, TrainedNetwork


class Run(run_folder.RunFolder):
    """A run folder, and the network in it, which predicts: `Run.load("runs/mine").predict(["a.jpg"])`.

    Example:
        >>> import lightcnn
        >>> run = lightcnn.Run.create("mine", "train", {"notes.txt": b"a first try"})
        >>> sorted(file.name for file in lightcnn.Run.load("mine").path.iterdir())
        ['environment.json', 'notes.txt']
    """

    @cached_property
    def trained(self) -> TrainedNetwork:
        """The network with its weights and its preprocessing, read once. Raises: InputError if that is not possible."""
        from lightcnn.trained_network import TrainedNetwork

        return TrainedNetwork.load(self)

    def predict(self, images: Iterable[Any], *, abstain_below: float = 0.0) -> Predictions:
        """Predicts the classes of images.

        Args:
            images: Paths of image files, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3).
            abstain_below: Lowest probability, from 0 to 1, with which a class is predicted; for images below it, the
                prediction is "abstained".

        Returns:
            The classes, their probabilities (N, classes), a prediction and a score of unlikeness for each image, and
            warnings.

        Raises:
            InputError: If the run has no network, or an image cannot be used.
        """
        return self.trained.predict(images, abstain_below=abstain_below)
