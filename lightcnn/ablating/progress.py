"""What an ablation reports while it runs. No torch: the terminal is shown before anything heavy is loaded."""

from __future__ import annotations

from lightcnn.progress import Progress
from lightcnn.training.progress import TrainingProgress


class AblationProgress(TrainingProgress):
    """Receives the events of an ablation and its trainings. This class ignores them; a view overrides its methods."""

    def change(self, number: int, total: int, name: str, about: str) -> None:
        """The next recipe is trained, or was trained before: the `number`th of `total`, from 1, the unchanged one."""

    def failed(self, name: str, reason: str) -> None:
        """A change could not be trained; the ablation continues with the others."""


class CalledAblationProgress(AblationProgress):
    """Calls a function with the name of a step, how much of it is done, and its total: images or recipes."""

    def __init__(self, call: Progress) -> None:
        self._call = call

    def reading(self, what: str, done: int, total: int) -> None:
        """Reports the images of a step that are done."""
        self._call(what, done, total)

    def change(self, number: int, total: int, name: str, about: str) -> None:
        """Reports the recipes that are done."""
        self._call("training recipes", number - 1, total)


SILENT = AblationProgress()
"""Ignores all events."""
