"""`lightcnn.Run`: a run folder and the network in it. torch is loaded only when something is predicted."""

from __future__ import annotations

import html
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote

from lightcnn import run_folder
from lightcnn.budget import human
from lightcnn.errors import RunError
from lightcnn.python_calls import python_call, require_path
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.text import visible

if TYPE_CHECKING:
    from lightcnn.predictor import Predictions
    from lightcnn.trained_network import TrainedNetwork


CARD = (
    '<div style="display:inline-block;padding:.8em 1.2em;border:1px solid rgba(128,128,128,.5);border-radius:.6em">'
    "{}</div>"
)
"""The frame of the card that notebooks show; it has the colours of the notebook."""


class RunFacts(NamedTuple):
    """What a run states about itself in words; what is not known is empty."""

    command: str
    score: str = ""
    interval: str = ""
    cost: tuple[str, ...] = ()
    is_finished: bool = True


class Run(run_folder.RunFolder):
    """A run folder, and the network in it, which predicts: `Run.load("runs/mine").predict(["a.jpg"])`.

    Example:
        >>> import lightcnn
        >>> run = lightcnn.Run.create("mine", "train", {"notes.txt": b"a first try"})
        >>> sorted(file.name for file in lightcnn.Run.load("mine").path.iterdir())
        ['environment.json', 'notes.txt']
    """

    @classmethod
    def load(cls, path: str | Path, *, network: Any = None) -> Self:
        """Opens the run in a folder.

        Args:
            path: The run folder that a command has written.
            network: For a run of `train(recipe, network=module)`, whose folder has no code: the module again. It is
                copied, and the weights of the run are loaded into the copy.

        Returns:
            The run; nothing but the existence of environment.json has been checked.

        Raises:
            RunError: If it is not a run folder, or cannot be read.
            InputError: If the path has another type.

        Example:
            >>> import lightcnn
            >>> lightcnn.Run.create("mine", "train", {}).path == lightcnn.Run.load("mine").path
            True
        """
        require_path("path", path, "str | Path")
        return cls(super().load(path).path, module=network)

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
            images: Paths of image files, PIL images, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3); or one of these.
            abstain_below: Lowest probability, from 0 to 1, with which a class is predicted; for images below it, the
                prediction is "abstained".

        Returns:
            The classes, their probabilities (N, classes), a prediction and a score of unlikeness for each image, and
            warnings.

        Raises:
            InputError: If the run has no network, or an image cannot be used.
        """
        from lightcnn.predictor import several_images

        return self.trained.predict(
            several_images(images, self.trained.preprocess.channels), abstain_below=abstain_below
        )

    def __repr__(self) -> str:
        facts = self._facts()
        score = (
            [f"test accuracy {facts.score}" + (f" ({facts.interval})" if facts.interval else "")] if facts.score else []
        )
        return visible(f"Run({self.path}: {', '.join((facts.command, *score, *facts.cost))})")

    def _repr_html_(self) -> str:
        """What notebooks show: a card with score, interval, cost and a link to the report."""
        facts, report = self._facts(), self.path / "report.html"
        link = f'<a href="{_link(report)}">{_escape(report)}</a>' if facts.is_finished else _escape(self.path)
        score = f'<b style="font-size:1.6em">{_escape(facts.score)}</b> test accuracy' if facts.score else ""
        lines = (_escape(facts.command), score, _escape(facts.interval), _escape(" · ".join(facts.cost)), link)
        return CARD.format("<br>".join(line for line in lines if line))

    def _facts(self) -> RunFacts:
        """What was done, the test accuracy with its interval, and the cost, as far as they are known."""
        try:
            report, accuracy = self.report, self._test_accuracy()
            cost = report.get("network", {}).get("cost", {})
            known = accuracy.get("value") is not None
            return RunFacts(
                str(report["command"]),
                f"{accuracy['value']:.2%}" if known else "",
                f"95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}" if known else "",
                (f"{human(cost['macs'])} FLOPs", f"{human(cost['params'])} params") if {"macs", "params"} <= cost.keys()
                else (),
            )  # fmt: skip
        except (RunError, *VALUE_ERRORS):
            return RunFacts("no finished run", is_finished=False)

    def _test_accuracy(self) -> dict[str, Any]:
        value: Any = self.report
        for key in ("metrics", "test", "accuracy"):
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}


def _escape(text: object) -> str:
    return html.escape(visible(str(text)))


def _link(path: Path) -> str:
    """The address of a file, relative if the path is."""
    address = quote(os.fsencode(path))
    return address if path.is_absolute() else f"./{address}"
