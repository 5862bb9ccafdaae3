"""`lightcnn.Run`: a run folder and the network in it. torch is loaded only when something is predicted."""

from __future__ import annotations

import html
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightcnn import run_folder
from lightcnn.budget import human
from lightcnn.errors import RunError
from lightcnn.python_calls import python_call
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.text import visible

if TYPE_CHECKING:
    from lightcnn.predictor import Predictions
    from lightcnn.trained_network import TrainedNetwork


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

    @property
    def accuracy(self) -> float:
        """The accuracy of the network on the test set. Raises: RunError if the run has none."""
        value = self._test_accuracy().get("value")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RunError(f"run {self.path}: it has no test accuracy; use a finished run of train or search")
        return float(value)

    @python_call
    def predict(self, images: Any, *, abstain_below: float = 0.0) -> Predictions:
        """Predicts the classes of images.

        Args:
            images: Paths of image files, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3); or one of these.
            abstain_below: Lowest probability, from 0 to 1, with which a class is predicted; for images below it, the
                prediction is "abstained".

        Returns:
            The classes, their probabilities (N, classes), a prediction and a score of unlikeness for each image, and
            warnings.

        Raises:
            InputError: If the run has no network, or an image cannot be used.
        """
        several = [images] if _is_one_image(images) else list(images)
        return self.trained.predict(several, abstain_below=abstain_below)

    def __repr__(self) -> str:
        return visible(f"Run({self.path}: {', '.join(self._facts())})")

    def _repr_html_(self) -> str:
        """What notebooks show."""
        report = html.escape(str(self.path / "report.html"))
        return f"<p>{html.escape(', '.join(self._facts()))}<br><small>{report}</small></p>"

    def _facts(self) -> list[str]:
        """What was done, the test accuracy with its interval, and the cost, as far as they are known."""
        try:
            report = self.report
            accuracy, cost = self._test_accuracy(), report.get("network", {}).get("cost", {})
            facts = [str(report["command"])]
            if accuracy.get("value") is not None:
                interval = f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}"
                facts.append(f"test accuracy {accuracy['value']:.2%} ({interval})")
            if {"macs", "params"} <= cost.keys():
                facts += [f"{human(cost['macs'])} FLOPs", f"{human(cost['params'])} params"]
        except (RunError, *VALUE_ERRORS):
            return ["no finished run"]
        return facts

    def _test_accuracy(self) -> dict[str, Any]:
        value: Any = self.report
        for key in ("metrics", "test", "accuracy"):
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}


def _is_one_image(images: Any) -> bool:
    """Whether this is a path or an array (H, W), (H, W, 1) or (H, W, 3), and not several of them."""
    if isinstance(images, (str, Path)):
        return True
    shape: tuple[int, ...] = getattr(images, "shape", ())
    return len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))
