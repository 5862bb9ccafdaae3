"""What an ablation tells while it runs. No torch: the terminal listens before anything heavy is loaded."""

from __future__ import annotations

from lightcnn.training.progress import TrainingProgress


class AblationProgress(TrainingProgress):
    """Hears what an ablation and its trainings do; this one is silent."""

    def change(self, number: int, total: int, name: str, about: str) -> None:
        """The recipe with the next change is trained, or found to be: the `number`th, from 1; the first is as it is."""

    def failed(self, name: str, reason: str) -> None:
        """A change could not be trained; the others go on."""
