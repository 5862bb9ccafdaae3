"""What a training tells while it runs. No torch: the terminal listens before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightcnn.engine.history import History
    from lightcnn.recipe import Recipe
    from lightcnn.run_folder import RunFolder


class TrainingProgress:
    """Hears what a training does; this one is silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """What is being done to the images, and to how many so far."""

    def part(self, number: int, total: int, name: str) -> None:
        """Of several trainings the next one begins: the `number`th, from 1."""

    def planned(self, run: RunFolder, recipe: Recipe, data: dict[str, Any], progress: History) -> None:
        """The training begins, or goes on after `progress`; `data` is that of report.json."""

    def stepped(self, images: int) -> None:
        """A batch of so many images was met."""

    def epoch(self, progress: History) -> None:
        """An epoch ended and is on disk."""

    def finishing(self) -> None:
        """Training ended; the test side is looked at and the report written."""
