"""What a training reports while it runs. No torch: the terminal is ready before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


SILENT = TrainingProgress()
"""Ignores all events."""
