"""The trackers of one run: every value goes to all of them, and what goes wrong there is one warning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from lightcnn.run_folder import RunFolder
from lightcnn.tracking.background import BackgroundTracker
from lightcnn.tracking.names import TrackerName
from lightcnn.tracking.tracker import RunPart, State

END_SECONDS = 60.0
"""Time that the trackers have for their last values after the work has ended."""
STOP_SECONDS = 2.0
"""The same after a signal."""


class Trackers:
    """Sends the values of one run to trackers, from `open` to the end of the `with` block.

    `warn` gets one line if a tracker fails, which then receives nothing more; the line is also in log.txt.

    Example:
        >>> with Trackers(("tensorboard",), print) as trackers:
        ...     trackers.open(folder, run)
        ...     trackers.scores(run, 1, {"val/accuracy": 0.9})
    """

    def __init__(self, names: Sequence[TrackerName], warn: Callable[[str], object]) -> None:
        self.names = tuple(names)
        self._warn = warn
        self._folder: RunFolder | None = None
        self._running: list[BackgroundTracker] = []

    def open(self, folder: RunFolder, run: RunPart) -> None:
        """Opens the run in all trackers, or continues it there; later calls do nothing."""
        if self._folder is None:
            self._folder = folder
            self._running = [BackgroundTracker(name, folder) for name in self.names]
            for tracker in self._running:
                tracker.start(run)

    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        """Sends the scores of a part at a step; those of a step that was sent before are ignored."""
        for tracker in self._running:
            tracker.scores(part, step, values)
        self._report()

    def summary(self, part: RunPart, values: Mapping[str, float]) -> None:
        """Sends the final values of a part."""
        for tracker in self._running:
            tracker.summary(part, values)
        self._report()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the run in all trackers, which have END_SECONDS for it, or STOP_SECONDS after a signal."""
        state: State = "finished"
        if kind is not None:
            state = "failed" if issubclass(kind, Exception) else "stopped"
        for tracker in self._running:
            tracker.end(state, STOP_SECONDS if state == "stopped" else END_SECONDS)
        self._report()

    def _report(self) -> None:
        """Warns of trackers that have failed, and drops them."""
        for tracker in [tracker for tracker in self._running if tracker.problem]:
            self._running.remove(tracker)
            tracker.end("failed", 0)
            message = f"{tracker.name} receives no more values: {tracker.problem}; the run continues"
            self._warn(message)
            if self._folder is not None:
                self._folder.log(message)
