"""What an ablation reports while it runs. No torch: the terminal is shown before anything heavy is loaded."""

from __future__ import annotations

from lightcnn.training.progress import TrainingProgress


class AblationProgress(TrainingProgress):
    """Receives the events of an ablation and its trainings. This class ignores them; a view overrides its methods."""

    def change(self, number: int, total: int, name: str, about: str) -> None:
        """The next recipe is trained, or was trained before: the `number`th of `total`, from 1, the unchanged one."""

    def failed(self, name: str, reason: str) -> None:
        """A change could not be trained; the ablation continues with the others."""


SILENT = AblationProgress()
"""Ignores all events."""
