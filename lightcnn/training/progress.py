"""What a training reports while it runs. No torch: the terminal is ready before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightcnn.progress import Progress, forwarded
from lightcnn.tracking.tracker import RunPart
from lightcnn.tracking.trackers import Trackers
from lightcnn.tracking.values import final_scores, parameters

if TYPE_CHECKING:
    from lightcnn.engine.history import History, Row
    from lightcnn.recipe import Recipe
    from lightcnn.run_folder import RunFolder


class TrainingProgress:
    """Receives the events of a training. This class ignores them; a view overrides its methods."""

    def reading(self, what: str, done: int, total: int) -> None:
        """Images are being prepared: the step, the number of images done, and the number of all images."""

    def several(self, run: RunFolder, recipe: Recipe) -> None:
        """Trainings with several folds or seeds start, each in a run folder below `run`, or resume."""

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

    def reported(self, run: RunFolder) -> None:
        """The report of a training, or of all folds and seeds, is on disk."""


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


class TrackedTraining(TrainingProgress):
    """Sends the recipe, the scores of all epochs and the final scores to trackers."""

    def __init__(self, trackers: Trackers) -> None:
        self._trackers = trackers
        self._parts: dict[str, RunPart] = {}
        self._current = RunPart("", "epoch", dict)

    def several(self, run: RunFolder, recipe: Recipe) -> None:
        """Opens the run of all folds and seeds in the trackers."""
        self._open(run, recipe)

    def planned(self, run: RunFolder, recipe: Recipe, data: dict[str, Any], history: History) -> None:
        """Opens the run of a training in the trackers; sends the epochs of earlier sessions."""
        self._current = self._open(run, recipe)
        for row in history.rows:
            self._send(row)

    def epoch(self, history: History) -> None:
        """Sends the losses and scores of an epoch."""
        self._send(history.rows[-1])

    def reported(self, run: RunFolder) -> None:
        """Sends the final scores."""
        self._trackers.summary(self._parts[str(run.path)], final_scores(run.report))

    def _open(self, run: RunFolder, recipe: Recipe) -> RunPart:
        """The run itself if it is the first one, else one of its parts."""
        values = parameters(recipe.model_dump(mode="json"))
        part = RunPart(run.path.name if self._parts else "", "epoch", lambda: values)
        self._parts[str(run.path)] = part
        self._trackers.open(run, part)
        return part

    def _send(self, row: Row) -> None:
        scores = {name: value for name, value in row if name != "epoch" and value is not None}
        named = {_score_name(name): value for name, value in scores.items()}
        self._trackers.scores(self._current, row.epoch, named)


def _score_name(column: str) -> str:
    """The name of a column of metrics.csv in trackers, which group names by what is before the slash."""
    return f"val/{column.removeprefix('val_')}" if column.startswith("val_") else f"train/{column}"


def tracked(progress: TrainingProgress, trackers: Trackers) -> TrainingProgress:
    """The same progress, which also goes to trackers, if there are any."""
    return forwarded(TrainingProgress, [progress, TrackedTraining(trackers)]) if trackers.names else progress


SILENT = TrainingProgress()
"""Ignores all events."""
