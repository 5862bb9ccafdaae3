"""A tracker in a thread of its own: a slow or failing one neither slows down nor stops the work that it logs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue

from lightcnn.run_folder import RunFolder
from lightcnn.text import format_error
from lightcnn.tracking.journal import Journal
from lightcnn.tracking.names import TrackerName
from lightcnn.tracking.tracker import Lost, RunPart, State, Tracker

MAX_WAITING = 10_000
"""Values that may wait for a tracker; one that is further behind is given up."""
Call = Callable[[Tracker, Journal], None]


class BackgroundTracker:
    """Sends values to one tracker, in their order. `problem` is the error that ended it, empty if there was none."""

    def __init__(self, name: TrackerName, folder: RunFolder) -> None:
        self.name = name
        self.problem = ""
        self._folder = folder
        self._calls: SimpleQueue[Call | State] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"{name} of {folder.path.resolve()}", daemon=True)
        self._thread.start()

    def start(self, part: RunPart) -> None:
        """Starts a part, unless an earlier session has."""
        self._put(partial(_start, part))

    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        """Sends the scores of a part at a step, unless it has received those of this step or a later one."""
        self._put(partial(_scores, part, step, values))

    def summary(self, part: RunPart, values: Mapping[str, float]) -> None:
        """Sends final values of a part, unless it has received the same."""
        self._put(partial(_summary, part, values))

    def end(self, state: State, seconds: float) -> None:
        """Ends the run in the tracker, and waits at most so long for what it has not received yet."""
        self._calls.put(state)
        self._thread.join(seconds)
        if self._thread.is_alive() and not self.problem:
            self.problem = f"it did not take all values within {seconds:g} s"

    def _put(self, call: Call) -> None:
        if self._calls.qsize() >= MAX_WAITING:
            self.problem = self.problem or f"{MAX_WAITING:,} values wait for it"
        if not self.problem:
            self._calls.put(call)

    def _run(self) -> None:
        try:
            self._wait_for_earlier()
            journal = Journal(self._folder, self.name)
            try:
                tracker = open_tracker(self.name, self._folder, journal)
            except Lost:
                journal.clear()
                tracker = open_tracker(self.name, self._folder, journal)
            while callable(call := self._calls.get()):
                if not self.problem:  # else it was given up
                    call(tracker, journal)
            tracker.end(call)
        except BaseException as error:  # some libraries end the process if they cannot start
            self.problem = self.problem or format_error(error)

    def _wait_for_earlier(self) -> None:
        """Waits for the thread of an interrupted session of the same run in this process, as in a notebook."""
        for thread in threading.enumerate():
            if thread is not self._thread and thread.name == self._thread.name:
                thread.join()


def open_tracker(name: TrackerName, folder: RunFolder, journal: Journal) -> Tracker:
    """The run of a tracker, which continues that of the journal. Raises: Lost if it is not there any more."""
    if name == "tensorboard":
        from lightcnn.tracking.tensorboard import TensorBoardRun

        return TensorBoardRun(folder)
    if name == "mlflow":
        from lightcnn.tracking.mlflow import MlflowRun

        return MlflowRun(folder, journal)
    from lightcnn.tracking.wandb import WandbRun

    return WandbRun(folder, journal)


def _start(part: RunPart, tracker: Tracker, journal: Journal) -> None:
    if part.name not in journal.ids:
        journal.started(part.name, tracker.start(part))


def _scores(part: RunPart, step: int, values: Mapping[str, float], tracker: Tracker, journal: Journal) -> None:
    _start(part, tracker, journal)
    if step > journal.steps.get(part.name, -1):
        tracker.scores(part, step, values)
        journal.scored(part.name, step)


def _summary(part: RunPart, values: Mapping[str, float], tracker: Tracker, journal: Journal) -> None:
    _start(part, tracker, journal)
    number, earlier = journal.summaries.get(part.name, (-1, ""))
    if (digest := journal.digest(values)) != earlier:
        tracker.summary(part, number + 1, values)
        journal.summarised(part.name, number + 1, digest)
