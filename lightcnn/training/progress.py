"""What a training reports while it runs. No torch: the terminal is ready before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightcnn.progress import Progress

if TYPE_CHECKING:
    from lightcnn.engine.history import History
    from lightcnn.recipe import Recipe
    from lightcnn.run_folder import RunFolder


class TrainingProgress:
    """Receives the events of a training. This class ignores them; a view overrides its methods."""

    def reading(self, what: str, done: int, total: int) -> None:
        """Images are being prepared: the step, the number of images done, and the number of all images."""

    def part(self, number: int, total: int, name: str) -> None:
        """The next of several trainings starts: its number from 1, how many there are, and its name."""

    def planned(self, run: RunFolder, recipe: Recipe, data: dict[str, Any], history: History) -> None:
        """A training starts, or resumes after `history`. `data` is that of report.json."""

    def stepped(self, images: int) -> None:
        """A batch of `images` images was processed."""

    def epoch(self, history: History) -> None:
        """An epoch ended and is on disk."""

    def finishing(self) -> None:
        """Training ended. The test set is evaluated and the report written next."""


class CalledTrainingProgress(TrainingProgress):
    """Calls a function with the name of a step, how much of it is done, and its total: images or epochs."""

    def __init__(self, call: Progress) -> None:
        self._call, self._part, self._epochs = call, "", 0

    def reading(self, what: str, done: int, total: int) -> None:
        """Reports the images of a step that are done."""
        self._call(what, done, total)

    def part(self, number: int, total: int, name: str) -> None:
        """Names the following epochs."""
        self._part = f", part {number} of {total}, {name}"

    def planned(self, run: RunFolder, recipe: Recipe, data: dict[str, Any], history: History) -> None:
        """Reports the epochs of earlier sessions."""
        self._epochs = recipe.training.epochs
        self.epoch(history)

    def epoch(self, history: History) -> None:
        """Reports an epoch."""
        self._call(f"training{self._part}", history.epoch, self._epochs)


SILENT = TrainingProgress()
"""Ignores all events."""
