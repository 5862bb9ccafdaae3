"""TensorBoard: event files in the folder `tensorboard` of the run, with a subfolder for each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lightcnn.run_folder import RunFolder
from lightcnn.tracking.tracker import RunPart, State, Tracker

FOLDER = "tensorboard"
MAX_OPEN = 16
"""Parts whose event files are open at the same time: each has a thread. One that is opened again gets another file."""
SHOWN = ("accuracy", "utility", "val/accuracy", "val/loss", "final/val/accuracy", "final/test/accuracy")
"""Scores that the table of hyperparameters shows, as far as a part has them."""


class TensorBoardRun(Tracker):
    """Event files for `tensorboard --logdir RUN/tensorboard`, on disk after every score."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def start(self, part: RunPart) -> str:
        """Writes the parameters as hyperparameters."""
        writer: Any = self._writer(part)
        summaries = hparams(dict(part.parameters()), dict.fromkeys(SHOWN, 0.0))  # type: ignore[no-untyped-call]
        for summary in summaries:
            writer.file_writer.add_summary(summary)
        writer.flush()
        return FOLDER

    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars."""
        writer = self._writer(part)
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def summary(self, part: RunPart, number: int, values: Mapping[str, float]) -> None:
        """Writes scalars; the step is the number."""
        self.scores(part, number, values)

    def end(self, state: State) -> None:
        """Closes all files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, part: RunPart) -> SummaryWriter:
        """The open writer of a part; the one that was opened first is closed if there are too many."""
        if part.name not in self._writers:
            if len(self._writers) >= MAX_OPEN:
                self._writers.pop(next(iter(self._writers))).close()
            path = self._folder / (f"{FOLDER}/{part.name}" if part.name else FOLDER)
            self._writers[part.name] = SummaryWriter(str(path))
        return self._writers[part.name]
